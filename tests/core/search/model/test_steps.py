"""Where a trace goes wrong, against traces whose wrong steps are known."""

import numpy as np
import pytest

from lab.core.grpo.tasks.chain import chain, structure_of, trace
from lab.core.search.model.sampler import Slips, habits
from lab.core.search.model.steps import Steps


def setting(structure, operators):
    task, kind = chain(structure, operators), structure_of(structure, operators)
    return task, kind, Steps(kind, task.is_right)


@pytest.mark.parametrize(("structure", "operators"), [("z10", "+"), ("z5", "+-*"), ("z2", "+")])
@pytest.mark.parametrize("leap", [False, True])
def test_the_first_wrong_step_is_found(structure, operators, leap):
    task, kind, steps = setting(structure, operators)
    slips = Slips(task, kind, 0.0, habits(kind, 0.0, 0), 0.0)
    random, m, found = np.random.default_rng(0), len(kind.elements), 0
    for problem in task.problems(random, 200, "train"):
        parts = slips.parts(problem)
        wrong = [0] * len(parts.operands)
        at = int(random.integers(-2, len(wrong)))
        if at >= 0:
            wrong[at] = int(random.integers(1, m))
        text, answer = trace(kind, parts, wrong, leap)
        # A wrong value may come back to the right one within a leap, by a product with 0.
        right = trace(kind, parts, [0] * len(wrong), leap)[0].split(",")
        written = text.split(",")
        first = next((i for i, (a, b) in enumerate(zip(written, right, strict=True)) if a != b), len(written))
        found += first < len(written)
        for i in range(len(written)):
            prefix = "<think>" + ",".join(written[: i + 1]) + ("," if i + 1 < len(written) else "</think>")
            expected = written[first] if first <= i else None
            assert steps.first_wrong(problem, prefix) == expected
        whole = f"<think>{text}</think><answer>{answer}</answer><eos>"
        assert (steps.first_wrong(problem, whole) is None) == (first == len(written))
    assert found > 50


def test_what_is_no_step_is_wrong_and_a_guess_is_one_step():
    task, _, steps = setting("z10", "+")
    problem = next(p for p in task.problems(np.random.default_rng(0), 50, "train") if p.difficulty >= 5)
    parts = Slips(task, structure_of("z10", "+"), 0, habits(structure_of("z10", "+"), 0, 0), 0).parts(problem)
    first = f"{parts.first}+{parts.operands[0]}={(parts.first + parts.operands[0]) % 10}"
    right, other = problem.answer, str((int(problem.answer) + 1) % 10)
    assert steps.first_wrong(problem, f"<answer>{right}</answer><eos>") is None
    assert steps.first_wrong(problem, f"<answer>{other}</answer><eos>") is not None
    assert steps.first_wrong(problem, f"<think>{first},") is None
    for wrong in (
        f"<think>{first},{first},",
        f"<think>{first}</think>",
        "<think></think>",
        f"<think>,{first},",
        f"<think>{first},,",
    ):
        assert steps.first_wrong(problem, wrong) is not None
    # A right answer behind a trace that stops early is not by right steps.
    assert steps.first_wrong(problem, f"<think>{first}</think><answer>{right}</answer><eos>") is not None
    assert steps.is_trap("7+2=9") and not steps.is_trap("9+2=1")


def test_habits_are_wrong_as_often_as_said():
    task, kind, _ = setting("z10", "+")
    slips = Slips(task, kind, 0.1, habits(kind, 0.25, 3), 0.6)
    assert slips.habits.sum() == 25
    random, counts = np.random.default_rng(1), {True: [], False: []}
    for problem in task.problems(random, 1500, "train"):
        parts = slips.parts(problem)
        value = parts.first
        for y, by in zip(parts.operands, slips.wrong(random, parts), strict=True):
            counts[bool(slips.habits[0, value, y])].append(by)
            value = (value + y + by) % 10
    assert np.mean(np.array(counts[True]) == 1) == pytest.approx(0.6, abs=0.04) and set(counts[True]) == {
        0,
        1,
    }
    assert np.mean(np.array(counts[False]) > 0) == pytest.approx(0.1, abs=0.02) and set(counts[False]) == set(
        range(10)
    )
