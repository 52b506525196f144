"""`countdown`: the verifier against what a model may write, and the tries of a trace."""

import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.grpo.tasks import Mixture, Problem, task
from lab.core.grpo.tasks.countdown import evaluate, is_right, tries

PROBLEM = Problem("3,7,2>17:", "3+7*2", 3)


def completion_of(expression):
    return f"<answer>{expression}</answer><eos>"


@pytest.mark.parametrize("expression", ["3+7*2", "7*2+3", "(7*2)+3", "2*7+3", "((3))+7*2", "3-(0-7)*2"])
def test_what_makes_the_target(expression):
    # The last uses a zero that was not given.
    assert is_right(PROBLEM, completion_of(expression)) == ("0" not in expression)


def test_some_of_the_numbers_are_enough():
    assert is_right(Problem("3,7,2>10:", "3+7", 1), completion_of("3+7"))
    assert is_right(Problem("8,2,9>4:", "8/2", 1), completion_of("8/2"))
    assert is_right(Problem("3,3,2>6:", "3+3", 1), completion_of("3+3"))


@pytest.mark.parametrize(
    "expression",
    [
        "17", "10+7", "3+7", "7+7+3", "3+7*2*2", "3+7*2+2-2", "7/(3-3)", "3/0", "7/(2-2)+17", "a", "3+x*2",
        "__import__('os').system('true')", "3**7", "3//2", "3+7*2;", "3+7*2=17", "3+7 *2", "3 +7*2x", "+3+7*2",
        "-3+7*2", "3+7*+2", "03+7*2", "3.0+7*2", "3e0+7*2", "3+7*2)", "(3+7*2", "()", "3()", "3(7)", "3+", "*",
        "３+7*2", "²", "3+7*2\n+0", "(" * 5000 + "3" + ")" * 5000, "9" * 5000, "9" * 60, "1+" * 40_000 + "1",
    ],
)  # fmt: skip
def test_what_does_not(expression):
    assert not is_right(PROBLEM, completion_of(expression))


@given(st.text(alphabet="0123456789+-*/()", max_size=12))
def test_evaluate_agrees_with_python(text):
    try:
        value, used = evaluate(text)
    except ValueError:
        return
    expected = eval(re.sub(r"\d+", lambda n: f"Fraction({n[0]})", text), {"Fraction": Fraction})
    assert value == expected
    assert used == [int(n) for n in re.findall(r"\d+", text)]


@given(st.text(max_size=80))
def test_evaluate_raises_nothing_else(text):
    try:
        evaluate(text)
    except ValueError:
        return
    assert set(text) <= set("0123456789+-*/()")


@pytest.mark.parametrize("numbers", [(3, 7, 2), (9, 1, 9, 4), (1, 1), (5, 9, 9, 9, 3)])
def test_all_candidates_in_order_with_their_values(numbers):
    found = tries(numbers)
    assert len(found) == len({text for text, _ in found}) == 3 ** (len(numbers) - 1)
    assert all(value == eval(text) for text, value in found)
    assert [text for text, _ in found] == sorted(
        (text for text, _ in found), key=lambda t: ["+-*".index(c) for c in t if c in "+-*"]
    )


def traces(mixture, count=800):
    for problem, completion in task("countdown").demonstrations(np.random.default_rng(0), count, mixture):
        trace, answer = re.fullmatch(r"<think>(.*)</think><answer>(.*)</answer><eos>", completion).groups()
        numbers, target = problem.prompt.rstrip(":").split(">")
        steps = [re.fullmatch(r"(.*)=(-?\d+)([✓✗])", step).groups() for step in trace.split(",")]
        yield problem, numbers.split(","), int(target), steps, answer


def test_a_perfect_trace_tries_until_it_hits():
    for problem, numbers, target, steps, answer in traces(Mixture(1.0, 0.0, 0.0, 0.0)):
        assert all(eval(text) == int(value) for text, value, _ in steps)
        assert [mark for *_, mark in steps] == ["✗"] * (problem.difficulty - 1) + ["✓"]
        assert all((int(value) == target) == (mark == "✓") for _, value, mark in steps)
        assert all(re.findall(r"\d+", text) == numbers for text, *_ in steps)
        assert answer == steps[-1][0] == problem.answer


def test_leaps_write_fewer_tries_and_find_the_same():
    for problem, _, _, steps, answer in traces(Mixture(1.0, 0.0, 0.0, 1.0)):
        assert len(steps) == problem.difficulty // 2 + problem.difficulty % 2
        assert answer == problem.answer


def test_errors_show_in_the_answer():
    n, noise = 10_000, 0.1
    expected = variance = first = right = 0.0
    for problem, _, target, steps, answer in traces(Mixture(1.0, noise, 0.0, 0.0), n):
        assert answer == steps[-1][0]
        assert all((int(value) == target) == (mark == "✓") for _, value, mark in steps)
        p = (1 - noise) ** problem.difficulty
        expected, variance = expected + p, variance + p * (1 - p)
        first += answer == problem.answer
        right += eval(answer) == target
    # The last candidate is answered for want of another, so that missing it there is still right.
    assert abs(first - expected) <= 5 * variance**0.5 + 0.02 * n
    assert first <= right


@pytest.mark.parametrize("options", [{"numbers": 1}, {"numbers": 4}, {"harder_numbers": 6}, {"largest": 1}])
def test_an_option_without_meaning_is_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        task("countdown", **options)
