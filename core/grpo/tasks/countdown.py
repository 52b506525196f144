"""`countdown`: an expression of the given numbers, each used at most once, that makes a target.

    3,7,2>17:       <think>3+7+2=12✗,3+7-2=8✗,3+7*2=17✓</think><answer>3+7*2</answer><eos>

× binds more than + and −, as usual. A trace tries the numbers in their given order, with + − * between them in
every combination, the last changing fastest, and puts ✓ or ✗ after each try. The difficulty is the number of tries, and
every target is reachable so. The verifier accepts more: any order, some of the numbers, division, parentheses.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from typing import TYPE_CHECKING

from ...lm.vocabulary import vocabulary
from .demonstration import demonstrations
from .problem import Mixture, Problem, Split, Task, final_answer
from .split import Drawn, draw

if TYPE_CHECKING:
    from numpy.random import Generator

DIGITS = "0123456789"
LONGEST = 64
"""Characters of an expression; longer ones are not right. Five numbers with operators and parentheses need fewer."""

Parts = tuple[tuple[int, ...], int]
"""The numbers and the target."""


def countdown(numbers: int = 3, harder_numbers: int = 4, largest: int = 9) -> Task:
    """The task.

    Args:
        numbers: how many, 2 to 4, in all splits but harder.
        harder_numbers: more, at most 5. A harder problem takes more tries than a problem of the other splits can.
        largest: numbers are drawn from 1 to this.
    Raises ValueError: a parameter outside these bounds.
    """
    if not 2 <= numbers < harder_numbers <= 5:
        raise ValueError(
            f"numbers is {numbers} and harder_numbers {harder_numbers}; they must be at least 2, more, and at most 5"
        )
    if not 2 <= largest <= 99:
        raise ValueError(f"largest is {largest}; it must be from 2 to 99")
    most = 3 ** (numbers - 1)

    def candidates(rng: Generator, count: int, split: Split) -> list[Drawn[Parts]]:
        n = harder_numbers if split == "harder" else numbers
        rows = rng.integers(1, largest + 1, (count, n)).tolist()
        choices = rng.integers(3 ** (n - 1), size=count).tolist()
        made = []
        for row, choice in zip(rows, choices, strict=True):
            values = [value for _, value in tries(row)]
            target = values[choice]
            needed = values.index(target) + 1
            if target >= 0 and (split != "harder" or needed > most):
                answer = tries(row)[needed - 1][0]
                prompt = f"{','.join(map(str, row))}>{target}:"
                made.append((Problem(prompt, answer, needed), (tuple(row), target)))
        return made

    def problems(rng: Generator, count: int, split: Split) -> list[Problem]:
        return [problem for problem, _ in draw(rng, count, split, candidates)]

    def shown(rng: Generator, count: int, mixture: Mixture) -> list[tuple[Problem, str]]:
        return demonstrations(
            rng,
            draw(rng, count, "base", candidates),
            mixture,
            steps=most,
            values=10,
            trace=trace,
            guess=lambda parts, random: tries(parts[0])[random % most][0],
        )

    digits = len(str(largest))
    expression = harder_numbers * (digits + 1) - 1
    value = len(str(largest**harder_numbers)) + 1
    return Task(
        name="countdown",
        vocabulary=vocabulary((*DIGITS, *"+-*/()=,>:✓✗")),
        problems=problems,
        demonstrations=shown,
        is_right=is_right,
        longest_prompt=expression + value + 2,
        goal="an expression of these numbers that makes the target",
        longest_completion=3 ** (harder_numbers - 1) * (expression + value + 3) + expression + 5,
        classes=None,
    )


def tries(numbers: Sequence[int]) -> list[tuple[str, int]]:
    """Every candidate with its value, in the order in which a trace tries them."""
    found = []
    for operators in product("+-*", repeat=len(numbers) - 1):
        text, total, term = str(numbers[0]), 0, numbers[0]
        for op, y in zip(operators, numbers[1:], strict=True):
            text += op + str(y)
            if op == "*":
                term *= y
            else:
                total, term = total + term, y if op == "+" else -y
        found.append((text, total + term))
    return found


def trace(parts: Parts, wrong: Sequence[int], leap: bool) -> tuple[str, str]:
    """The tries, and the one that the trace ends with.

    A wrong try takes one that misses for a hit and ends there, or misses a hit by as much as it is wrong and goes on: so
    an error shows in the answer, as an error in a sum would. After the last candidate nothing is left but to answer it.

    Args:
        wrong: one for each candidate.
        leap: of two misses in a row only the second is written.
    """
    numbers, target = parts
    steps = []
    text = ""
    for i, (text, value) in enumerate(tries(numbers)):
        if wrong[i]:
            value = target + wrong[i] if value == target else target
        if value == target:
            steps.append(f"{text}={value}✓")
            break
        if not leap or i % 2:
            steps.append(f"{text}={value}✗")
    return ",".join(steps), text


def is_right(problem: Problem, completion: str) -> bool:
    """Whether the one answer of a completion makes the target of the prompt from its numbers, each used at most once."""
    expression = final_answer(completion)
    if expression is None:
        return False
    given, _, target = problem.prompt.rstrip(":").partition(">")
    left = [int(number) for number in given.split(",")]
    try:
        value, used = evaluate(expression)
    except ValueError:
        return False
    for number in used:
        if number not in left:
            return False
        left.remove(number)
    return value == int(target)


def evaluate(expression: str) -> tuple[Fraction, list[int]]:
    """The exact value of an expression, and the numbers in it.

    Whole numbers without signs or leading zeros, + - * /, parentheses; nothing else, no spaces, and no more than
    `LONGEST` characters. Read by hand: `eval` would run whatever a model comes to write.

    Raises ValueError: anything else, or a division by zero.
    """
    if len(expression) > LONGEST:
        raise ValueError(f"{len(expression)} characters; at most {LONGEST} are read")
    used: list[int] = []
    value, at = _sum(expression, 0, used)
    if at < len(expression):
        raise ValueError(f"{expression[at]!r} at character {at}")
    return value, used


def _sum(text: str, at: int, used: list[int]) -> tuple[Fraction, int]:
    value, at = _product(text, at, used)
    while at < len(text) and text[at] in "+-":
        op = text[at]
        term, at = _product(text, at + 1, used)
        value = value + term if op == "+" else value - term
    return value, at


def _product(text: str, at: int, used: list[int]) -> tuple[Fraction, int]:
    value, at = _factor(text, at, used)
    while at < len(text) and text[at] in "*/":
        op = text[at]
        factor, at = _factor(text, at + 1, used)
        if op == "/" and factor == 0:
            raise ValueError("division by zero")
        value = value * factor if op == "*" else value / factor
    return value, at


def _factor(text: str, at: int, used: list[int]) -> tuple[Fraction, int]:
    if text[at : at + 1] == "(":
        value, at = _sum(text, at + 1, used)
        if text[at : at + 1] != ")":
            raise ValueError(f"an open parenthesis at character {at}")
        return value, at + 1
    stop = at
    while stop < len(text) and text[stop] in DIGITS:
        stop += 1
    if stop == at or (text[at] == "0" and stop > at + 1):
        raise ValueError(f"no number at character {at}")
    used.append(int(text[at:stop]))
    return Fraction(used[-1]), stop
