"""Closed forms in experiment files: `long * (1 - noise)^4 + (1 - long) / 10`.

There are numbers, names, parentheses, + - * / ^, and the functions of `FUNCTIONS`; `name[0]` is an entry of a list. ^ binds
closer than a sign before it and groups to the right, as in mathematics: -x^2 is -(x^2). A text is parsed here and never
given to Python.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..suggest import nearest

FUNCTIONS: Mapping[str, tuple[Callable[..., float], int]] = {
    "exp": (math.exp, 1),
    "log": (math.log, 1),
    "sqrt": (math.sqrt, 1),
    "min": (min, 2),
    "max": (max, 2),
}
"""Each with the least number of its arguments, which is also the largest for those of one."""
_BINDING = {"+": 1, "-": 1, "*": 2, "/": 2, "^": 4}
_SIGN = 3
_OPERATORS: Mapping[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "^": math.pow,
}
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)|(?P<name>[A-Za-z_]\w*)|(?P<sign>\*\*|[-+*/^(),\[\]]))"
)
MOST_DEPTH, MOST_TOKENS = 50, 400


class FormulaError(ValueError):
    """What is wrong with a formula, or with its value.

    Attributes:
        at: the position in its text, from 0.
    """

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.at = at


@dataclass(frozen=True)
class _Token:
    text: str
    kind: str
    at: int


@dataclass(frozen=True)
class _Node:
    """A number (no parts), a name, an operator or a function, and its parts.

    Attributes:
        does: what is computed of the parts' values; None for a number and a name.
        at: the position in the text.
        entry: of a name, which entry of a list.
    """

    text: str
    at: int
    does: Callable[..., float] | None = None
    parts: tuple[_Node, ...] = ()
    entry: int | None = None
    number: float | None = None


@dataclass(frozen=True)
class Formula:
    """A parsed formula; `parse` makes it."""

    text: str
    root: _Node

    def names(self) -> dict[str, int]:
        """Each name, with the position where it stands first."""
        found: dict[str, int] = {}
        for node in _all(self.root):
            if node.does is None and node.number is None:
                found.setdefault(node.text, node.at)
        return found

    def value(self, values: Mapping[str, Any]) -> float:
        """The figure for these parameters.

        Raises FormulaError: a name without a number there, or an operation that gives none.
        """
        return _value(self.root, values)


def parse(text: str) -> Formula:
    """Raises FormulaError: it is no formula; says what was met instead, and where."""
    tokens = list(_tokens(text))
    if len(tokens) > MOST_TOKENS:
        raise FormulaError(f"has more than {MOST_TOKENS} numbers, names and signs", tokens[MOST_TOKENS].at)
    node, at = _expression(tokens, 0, 0, 0)
    if tokens[at].kind != "end":
        raise FormulaError(f"{tokens[at].text!r} cannot follow here", tokens[at].at)
    return Formula(text, node)


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while text[at:].strip():
        found = _TOKEN.match(text, at)
        if found is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            raise FormulaError(f"{text[at]!r} belongs to no formula", at)
        kind = str(found.lastgroup)
        yield _Token(found[kind].replace("**", "^"), kind, found.start(kind))
        at = found.end()
    yield _Token("", "end", len(text))


def _expression(tokens: list[_Token], at: int, closer_than: int, depth: int) -> tuple[_Node, int]:
    """What begins at a token, as far as its operators bind closer than this, and the token behind it."""
    if depth > MOST_DEPTH:
        raise FormulaError("is nested too deeply", tokens[at].at)
    left, at = _operand(tokens, at, depth)
    while (binding := _BINDING.get(tokens[at].text, 0)) > closer_than:
        operator = tokens[at]
        # Grouped to the right, ^ takes another ^ into its right side.
        right, at = _expression(tokens, at + 1, binding - (operator.text == "^"), depth + 1)
        left = _Node(operator.text, operator.at, _OPERATORS[operator.text], (left, right))
    return left, at


def _operand(tokens: list[_Token], at: int, depth: int) -> tuple[_Node, int]:
    token = tokens[at]
    if token.kind == "number":
        if math.isinf(number := float(token.text)):
            raise FormulaError(f"{token.text} is larger than numbers are here", token.at)
        return _Node(token.text, token.at, number=number), at + 1
    if token.text in ("-", "+"):
        inner, at = _expression(tokens, at + 1, _SIGN, depth + 1)
        return _Node(token.text, token.at, lambda x: -x if token.text == "-" else x, (inner,)), at
    if token.text == "(":
        inner, at = _expression(tokens, at + 1, 0, depth + 1)
        return inner, _past(tokens, at, ")")
    if token.kind != "name":
        what = "it ends where a number or a name should stand" if token.kind == "end" else None
        raise FormulaError(what or f"{token.text!r} stands where a number or a name should", token.at)
    if tokens[at + 1].text == "(":
        return _call(tokens, at, depth)
    if tokens[at + 1].text == "[":
        entry = tokens[at + 2]
        if not entry.text.isdigit():
            raise FormulaError("the entry of a list is a whole number: depths[0]", entry.at)
        return _Node(token.text, token.at, entry=int(entry.text)), _past(tokens, at + 3, "]")
    return _Node(token.text, token.at), at + 1


def _call(tokens: list[_Token], at: int, depth: int) -> tuple[_Node, int]:
    name = tokens[at]
    if name.text not in FUNCTIONS:
        hint = nearest(name.text, FUNCTIONS)
        raise FormulaError(f"no function {name.text}.{hint} There are {', '.join(FUNCTIONS)}", name.at)
    function, least = FUNCTIONS[name.text]
    parts: list[_Node] = []
    at += 1
    while not parts or tokens[at].text == ",":
        part, at = _expression(tokens, at + 1, 0, depth + 1)
        parts.append(part)
    if len(parts) < least or (least == 1 and len(parts) > 1):
        raise FormulaError(f"{name.text} takes {'one number' if least == 1 else 'two or more'}", name.at)
    return _Node(name.text, name.at, function, tuple(parts)), _past(tokens, at, ")")


def _past(tokens: list[_Token], at: int, sign: str) -> int:
    if tokens[at].text != sign:
        met = f", not {tokens[at].text!r}" if tokens[at].text else ""
        raise FormulaError(f"{sign!r} is missing here{met}", tokens[at].at)
    return at + 1


def _all(node: _Node) -> Iterator[_Node]:
    yield node
    for part in node.parts:
        yield from _all(part)


def _value(node: _Node, values: Mapping[str, Any]) -> float:
    if node.number is not None:
        return node.number
    if node.does is None:
        return _named(node, values)
    parts = [_value(part, values) for part in node.parts]
    try:
        found = node.does(*parts)
    except ZeroDivisionError:
        raise FormulaError("divides by zero", node.at) from None
    except (ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        shown = ", ".join(f"{part:g}" for part in parts)
        raise FormulaError(f"{node.text} of {shown} is no finite number", node.at)
    return found


def _named(node: _Node, values: Mapping[str, Any]) -> float:
    if node.text not in values:
        raise FormulaError(f"{node.text} has no value", node.at)
    found, shown = values[node.text], node.text
    if node.entry is not None:
        shown = f"{node.text}[{node.entry}]"
        if not isinstance(found, list | tuple) or node.entry >= len(found):
            raise FormulaError(f"{node.text} has no entry {node.entry}: it is {found}", node.at)
        found = found[node.entry]
    with suppress(OverflowError):  # a whole number of hundreds of digits
        if isinstance(found, int | float) and not isinstance(found, bool) and math.isfinite(found):
            return float(found)
    raise FormulaError(f"{shown} is {found}, which is no number here", node.at)
