"""Closed forms: what they are worth, and what is said of those that are none."""

import math
import random

import pytest

from lab.core.experiment.formula import FUNCTIONS, FormulaError, parse

KNOWN = {"p": 0.25, "k": 5, "depths": [3, 5], "tagged": True, "task": "chain", "alpha": 2.0}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3 - 4 / 8", 6.5),
        ("2 - 3 - 4", -5),
        ("16 / 4 / 2", 2),
        ("2 ^ 3 ^ 2", 512),
        ("2 ** 3 ** 2", 512),
        ("-2 ^ 2", -4),
        ("(-2) ^ 2", 4),
        ("2 ^ -1", 0.5),
        ("2 * -3", -6),
        ("- -3", 3),
        ("1e-3 + .5 + 2.", 2.501),
        ("p * (1 - .03)^k + (1 - p)/10", 0.25 * 0.97**5 + 0.075),
        ("(p * .97^k)^alpha", (0.25 * 0.97**5) ** 2),
        ("depths[0] + depths[1]", 8),
        ("max(1, min(4, k), 2)", 4),
        ("exp(log(3)) + sqrt(16)", 7),
    ],
)
def test_values(text, value):
    assert parse(text).value(KNOWN) == pytest.approx(value, rel=1e-14)


def test_random_formulas_are_worth_what_mathematics_says():
    rng = random.Random(0)

    def made(depth):
        if depth == 0 or rng.random() < 0.2:
            x = rng.choice([1, 2, 3, 0.5])
            return f"{x}", float(x)
        sign = rng.choice("+-*/^")
        (a, x), (b, y) = made(depth - 1), made(depth - 1)
        found = {
            "+": lambda: x + y,
            "-": lambda: x - y,
            "*": lambda: x * y,
            "/": lambda: x / y,
            "^": lambda: math.pow(x, y),
        }[sign]()
        return f"({a}) {sign} ({b})", found

    tried = 0
    while tried < 200:
        try:
            text, value = made(4)
        except (ZeroDivisionError, ValueError, OverflowError):
            continue
        if math.isfinite(value):
            assert parse(text).value({}) == pytest.approx(value, rel=1e-12, abs=1e-300)
            tried += 1


def test_names_are_those_to_be_filled_in_each_at_its_first_position():
    assert parse("p + max(k, p) * depths[0] - exp(1)").names() == {"p": 0, "k": 8, "depths": 16}


@pytest.mark.parametrize(
    ("text", "at", "message"),
    [
        ("", 0, "it ends where a number or a name should stand"),
        ("1 +", 3, "it ends where"),
        ("1 2", 2, "'2' cannot follow here"),
        ("(1 + 2", 6, "')' is missing here"),
        ("1 + * 2", 4, "'*' stands where a number or a name should"),
        ("p.real", 1, "'.' belongs to no formula"),
        ("__import__('os')", 11, "belongs to no formula"),
        ("sqr(4)", 0, "no function sqr. Did you mean sqrt?"),
        ("exp(1, 2)", 0, "exp takes one number"),
        ("max(1)", 0, "max takes two or more"),
        ("depths[p]", 7, "whole number"),
        ("p[1", 3, "']' is missing"),
        ("p if k else 1", 2, "'if' cannot follow"),
        ("(" * 100 + "1" + ")" * 100, 51, "nested too deeply"),
        ("-" * 300 + "1", 51, "nested too deeply"),
        ("1 + " * 3000 + "1", 800, "has more than 400"),
        ("2 * 1e999", 4, "1e999 is larger than numbers are here"),
        ("²", 0, "belongs to no formula"),
    ],
)
def test_what_is_no_formula_is_said_with_its_position(text, at, message):
    with pytest.raises(FormulaError) as error:
        parse(text)
    assert message in str(error.value) and error.value.at == at


@pytest.mark.parametrize(
    ("text", "at", "message"),
    [
        ("1 / (p - 0.25)", 2, "divides by zero"),
        ("1 + log(p - 1)", 4, "log of -0.75 is no finite number"),
        ("(0 - 1)^0.5", 7, "^ of -1, 0.5 is no finite number"),
        ("0 ^ -1", 2, "is no finite number"),
        ("10 ^ 400", 3, "is no finite number"),
        ("1e308 * 10", 6, "is no finite number"),
        ("p + slips", 4, "slips has no value"),
        ("1 + task", 4, "task is chain, which is no number here"),
        ("tagged", 0, "tagged is True, which is no number here"),
        ("depths", 0, "depths is [3, 5], which is no number here"),
        ("depths[2]", 0, "depths has no entry 2"),
        ("p[0]", 0, "p has no entry 0"),
    ],
)
def test_what_has_no_figure_is_said_with_its_position(text, at, message):
    with pytest.raises(FormulaError) as error:
        parse(text).value(KNOWN)
    assert message in str(error.value) and error.value.at == at


def test_each_function_is_the_one_it_is_named_after():
    assert {name: function(*[2.25, 9.0][:count]) for name, (function, count) in FUNCTIONS.items()} == {
        "exp": math.exp(2.25),
        "log": math.log(2.25),
        "sqrt": 1.5,
        "min": 2.25,
        "max": 9.0,
    }
