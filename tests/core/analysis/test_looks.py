"""When a verdict may be given: the looks, and what they may err."""

from __future__ import annotations

import itertools

import pytest

from lab.core.analysis.looks import Look, last_and_next, looks


@pytest.mark.parametrize(
    "planned, sizes", [(1, [6, 12, 24]), (2, [6, 12, 24]), (6, [6, 12, 24]), (10, [10, 20, 40])]
)
def test_looks_double_from_the_planned_number_but_six_at_least(planned: int, sizes: list[int]) -> None:
    assert [look.n for look in itertools.islice(looks(planned), 3)] == sizes


def test_the_errors_of_all_looks_add_up_to_five_percent() -> None:
    errors = [1 - look.level for look in itertools.islice(looks(6), 40)]
    assert errors[0] == 0.03125 and errors[1] == pytest.approx(0.009375)
    assert sum(errors) == pytest.approx(0.05) and sum(errors) <= 0.05 + 1e-12
    assert all(later < earlier for earlier, later in itertools.pairwise(errors))


@pytest.mark.parametrize(
    "complete, last, following",
    [(0, None, 6), (5, None, 6), (6, 6, 12), (11, 6, 12), (12, 12, 24), (48, 48, 96)],
)
def test_between_looks_the_last_one_stands(complete: int, last: int | None, following: int) -> None:
    found, later = last_and_next(6, complete)
    assert (found.n if found else None, later.n) == (last, following)
    assert last_and_next(8, 7)[0] is None and last_and_next(8, 8)[0] == Look(8, 1 - 0.03125)
