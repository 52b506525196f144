"""`chain`: a running value over a small structure, one operation after the other from left to right.

    z2      1+0+1=                  parity
    z10     7+5+8+4=                last digits, with + − ×; no precedence: 7+5*8= is (7+5)·8; z3 to z9 likewise, modulo 3 to 9
    s5      cabde*bacde*bcdea=      permutations of five letters, 120 of them

A permutation is one token, its five letters in the order of where a, b, c, d and e go: bacde swaps a and b. x*y is x
first and then y. Over S5 no circuit of constant depth computes a chain (Barrington 1989), so that thinking is not just
easier: see "Chain of Thought Empowers Transformers to Solve Inherently Serial Problems" (arXiv:2402.12875). The first
element there is any of the 120, and each further one is a generator.

The depth k counts the operations, which are the steps of a trace: k+1 operands. A model that cannot compute the answer
at once guesses among m elements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING

from ...lm.vocabulary import vocabulary
from .demonstration import demonstrations
from .problem import Mixture, Problem, Split, Task, says
from .split import Drawn, depths, draw

if TYPE_CHECKING:
    from numpy.random import Generator

GENERATORS = "bacde", "bcdea", "eabcd"
"""A swap, the rotation and its inverse; the first two generate all of S5."""

_MODULAR: Mapping[str, Callable[[int, int], int]] = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
}


@dataclass(frozen=True)
class Structure:
    """A finite set with operations; elements are numbered.

    Attributes:
        elements: how each is written.
        tables: for each operator, `[x][y]` is the number of x op y.
        operands: the numbers of those that may follow an operator.
    """

    elements: tuple[str, ...]
    tables: Mapping[str, Sequence[Sequence[int]]]
    operands: tuple[int, ...]


@dataclass(frozen=True)
class Chain:
    """first op₁ operand₁ op₂ operand₂ …"""

    first: int
    operators: Sequence[str]
    operands: Sequence[int]


def compose(x: str, y: str) -> str:
    """x first, then y: the letters are where a, b, … go."""
    return "".join(y["abcde".index(letter)] for letter in x)


def structure_of(name: str, operators: Iterable[str], generators: Sequence[str] = GENERATORS) -> Structure:
    """z2 to z10 or s5 with the operators named.

    Raises ValueError: no such structure, an operator it lacks, none or one twice, or a generator that is no
    permutation.
    """
    possible = {"z2": "+", **{f"z{m}": "+-*" for m in range(3, 11)}, "s5": "*"}
    if name not in possible:
        raise ValueError(f"structure is {name}; there are {', '.join(possible)}")
    chosen = list(operators)
    if not chosen or len(set(chosen)) < len(chosen) or not set(chosen) <= set(possible[name]):
        raise ValueError(
            f"operators of {name} are {''.join(chosen)!r}; choose among {possible[name]}, each once"
        )
    if name != "s5":
        m = int(name[1:])
        tables = {op: [[_MODULAR[op](x, y) % m for y in range(m)] for x in range(m)] for op in chosen}
        return Structure(tuple(map(str, range(m))), tables, tuple(range(m)))
    elements = tuple("".join(each) for each in permutations("abcde"))
    number = {element: i for i, element in enumerate(elements)}
    for each in generators:
        if each not in number:
            raise ValueError(f"generator {each} is not an order of the letters abcde")
    if not generators:
        raise ValueError("s5 needs at least one generator")
    table = [[number[compose(x, y)] for y in elements] for x in elements]
    return Structure(elements, {"*": table}, tuple(number[each] for each in generators))


def chain(
    structure: str = "z10",
    operators: Iterable[str] = "",
    base: Sequence[int] = (1, 6),
    train: Sequence[int] = (5, 8),
    harder: Sequence[int] = (9, 12),
    generators: Sequence[str] = GENERATORS,
    alphabet: str = "",
) -> Task:
    """The task.

    Args:
        structure: "z2" to "z10" or "s5".
        operators: of "+-*" for z3 to z10, "+" for z2, "*" for s5. Empty: the first of these.
        base, train, harder: least and largest depth; a test problem is as deep as one of `train`.
        generators: of s5, what may follow an operator.
        alphabet: of z2 to z10, a letter for each element, 0 first: a second way to write a trace; see `alphabets.py`.
    Raises ValueError: a parameter without meaning; the message names it.
    """
    operators = "".join(operators) or ("*" if structure == "s5" else "+")
    kind = structure_of(structure, operators, generators)
    signs = (*kind.elements, *kind.tables, "=", ",")
    if alphabet:
        _check_alphabet(alphabet, structure, signs)
    ranges = {
        "base": depths("base", base),
        "train": depths("train", train),
        "harder": depths("harder", harder),
    }
    ranges["test"] = ranges["train"]
    deepest = max(high for _, high in ranges.values())

    def candidates(rng: Generator, count: int, split: Split) -> list[Drawn[Chain]]:
        return _candidates(rng, count, ranges[split], kind)

    def problems(rng: Generator, count: int, split: Split) -> list[Problem]:
        return [problem for problem, _ in draw(rng, count, split, candidates)]

    def shown(rng: Generator, count: int, mixture: Mixture) -> list[tuple[Problem, str]]:
        return demonstrations(
            rng,
            draw(rng, count, "base", candidates),
            mixture,
            steps=ranges["base"][1],
            values=len(kind.elements),
            trace=lambda parts, wrong, leap: trace(kind, parts, wrong, leap),
            guess=lambda _, random: kind.elements[random % len(kind.elements)],
            letters=str.maketrans("".join(kind.elements), alphabet) if alphabet else None,
        )

    return Task(
        name="chain",
        vocabulary=vocabulary((*signs, *alphabet)),
        problems=problems,
        demonstrations=shown,
        is_right=says,
        longest_prompt=2 * deepest + 2,
        longest_completion=6 * deepest
        + 5,  # x+y=z and a comma, less one; two tags; the answer in its tags; <eos>
        classes=len(kind.elements),
        alphabets=("".join(kind.elements), alphabet) if alphabet else (),
        goal=_goal(structure, operators),
    )


def _goal(structure: str, operators: str) -> str:
    if structure == "s5":
        return "one permutation after the other"
    of = "sum" if operators == "+" else "result"
    if structure == "z2":
        return f"whether the {of} is odd"
    return f"the last digit of the {of}" if structure == "z10" else f"the {of} modulo {structure[1:]}"


def _check_alphabet(alphabet: str, structure: str, signs: Sequence[str]) -> None:
    if structure == "s5":
        raise ValueError(f"alphabet is {alphabet}; s5 has none beside its own, only z2 to z10 take another")
    m = int(structure[1:])
    if len(alphabet) != m or len(set(alphabet)) < m:
        raise ValueError(f"alphabet is {alphabet}; {structure} needs {m} letters, all different")
    for letter in alphabet:
        if letter in signs or letter in "<>" or not letter.isprintable() or letter.isspace():
            raise ValueError(f"alphabet is {alphabet}; {letter!r} cannot stand for an element")


def _candidates(rng: Generator, count: int, depth: tuple[int, int], kind: Structure) -> list[Drawn[Chain]]:
    low, high = depth
    elements, tables = kind.elements, kind.tables
    names = list(tables)
    ks = rng.integers(low, high + 1, count).tolist()
    firsts = rng.integers(len(elements), size=count).tolist()
    operands = rng.integers(len(kind.operands), size=(count, high)).tolist()
    operators = rng.integers(len(names), size=(count, high)).tolist()
    made = []
    for k, first, ys, ops in zip(ks, firsts, operands, operators, strict=True):
        parts = Chain(first, [names[op] for op in ops[:k]], [kind.operands[y] for y in ys[:k]])
        value, prompt = first, elements[first]
        for op, y in zip(parts.operators, parts.operands, strict=True):
            value = tables[op][value][y]
            prompt += op + elements[y]
        made.append((Problem(prompt + "=", elements[value], k), parts))
    return made


def trace(kind: Structure, parts: Chain, wrong: Sequence[int], leap: bool) -> tuple[str, str]:
    """The steps, and the answer that follows from them.

    Args:
        wrong: for each operation by how much, in numbers of elements, its result is off.
        leap: two operations to a step; only the result of the second is written.
    """
    elements, tables = kind.elements, kind.tables
    m, stride = len(elements), 2 if leap else 1
    value, k = parts.first, len(parts.operands)
    steps = []
    for start in range(0, k, stride):
        step = elements[value]
        for i in range(start, min(start + stride, k)):
            op, y = parts.operators[i], parts.operands[i]
            value = tables[op][value][y]
            if wrong[i]:
                value = (value + wrong[i]) % m
            step += op + elements[y]
        steps.append(f"{step}={elements[value]}")
    return ",".join(steps), elements[value]
