"""What a training is judged by: figures of harder problems only where there are any."""

from dataclasses import replace

import pytest

from lab.core.grpo.held_out import held_out


@pytest.mark.parametrize("has_harder", [True, False])
def test_harder_problems_where_there_are_any(make_model, tiny_task, has_harder):
    def problems(rng, count, split):
        if split == "harder" and not has_harder:
            raise ValueError("there are none")
        return tiny_task.problems(rng, count, split)

    judges = held_out(replace(tiny_task, problems=problems, has_harder=has_harder), 4, 2, 12, seed=0)
    figures = judges.harder(make_model())
    assert ("harder/pass@1" in figures) == has_harder and set(judges.problems) == {
        "test",
        "harder",
    }.difference(() if has_harder else {"harder"})
