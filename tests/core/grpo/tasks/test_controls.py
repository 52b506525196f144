"""`reverse` and `sort`: the trace copies, the answer follows it."""

import re

import numpy as np
import pytest

from lab.core.grpo.tasks import Mixture, task

ANSWER = {"reverse": lambda s: "".join(s[i] for i in range(len(s) - 1, -1, -1)), "sort": lambda s: "".join(
    d * s.count(d) for d in "0123456789"
)}  # fmt: skip


def made(name, count, mixture, **options):
    for problem, completion in task(name, **options).demonstrations(np.random.default_rng(0), count, mixture):
        trace, answer = re.fullmatch(r"<think>(.*)</think><answer>(.*)</answer><eos>", completion).groups()
        yield problem, problem.prompt.removeprefix(f"{name}:").removesuffix("="), trace, answer


@pytest.mark.parametrize("name", ["reverse", "sort"])
@pytest.mark.parametrize("leaps,stride", [(0.0, 1), (1.0, 2)])
def test_the_trace_copies_the_string(name, leaps, stride):
    for problem, string, trace, answer in made(name, 400, Mixture(1.0, 0.0, 0.0, leaps)):
        steps = trace.split(",")
        assert "".join(steps) == string
        assert {len(step) for step in steps[:-1]} <= {stride}
        assert answer == problem.answer == ANSWER[name](string)
        assert problem.difficulty == len(string)


@pytest.mark.parametrize("name", ["reverse", "sort"])
def test_a_wrong_copy_gives_a_wrong_answer(name):
    n, depth, noise = 10_000, 4, 0.1
    right = clean = 0
    for problem, string, trace, answer in made(name, n, Mixture(1.0, noise, 0.0, 0.0), base=(depth, depth)):
        copy = trace.replace(",", "")
        assert answer == ANSWER[name](copy)
        clean += copy == string
        right += answer == problem.answer
    p = (1 - noise) ** depth
    assert abs(clean - n * p) <= 5 * (n * p * (1 - p)) ** 0.5
    # Two wrong digits may be each other's: sorted, that is no error.
    assert right == clean if name == "reverse" else clean <= right <= clean + 0.01 * n


def test_lengths_are_checked():
    with pytest.raises(ValueError, match="train is"):
        task("sort", train=(0, 3))
