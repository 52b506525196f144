"""Five tasks, each at any number of items: a text is a prompt and its answer, in tokens."""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PAD, END, ASK, PLUS = range(4)
FIRST = 4
"""The id of the first symbol."""
WRITTEN = ("", "$", ">", "+")
LETTERS = string.ascii_lowercase + string.ascii_uppercase + "αβγδεζηθικλμνξοπρστυφχψω"

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Texts:
    """Texts of one length.

    Attributes:
        ids: (texts, tokens). start: the column of the answer's first token.
        source: (texts, answer), the column of the key that holds a token of the answer, -1 where no single one does.
        counts: (answer,), whether a token must be right; others are drawn and cannot be known.
    """

    ids: Ids
    start: int
    source: Ids
    counts: NDArray[np.bool_]


@dataclass(frozen=True)
class Task:
    """A task.

    Attributes:
        draw: (random, items, texts) to so many texts of so many items.
        symbols: as they are written; their ids begin at `FIRST`.
        separators: what stands between numbers, and padding; none where there are no numbers.
    """

    draw: Callable[[np.random.Generator, int, int], Texts]
    symbols: tuple[str, ...]
    separators: tuple[int, ...] = ()

    @property
    def vocabulary(self) -> int:
        """How many tokens there are."""
        return FIRST + len(self.symbols)

    def tokens(self, items: int) -> int:
        """Of a text."""
        return int(self.draw(np.random.default_rng(0), items, 1).ids.shape[1])

    def written(self, ids: Ids) -> str:
        """A text, or a part of it, to be shown."""
        return "".join((*WRITTEN, *self.symbols)[i] for i in ids)


def copy(symbols: int) -> Task:
    """`caba>` is answered by `caba` and an end."""

    def draw(random: np.random.Generator, items: int, texts: int) -> Texts:
        said = FIRST + random.integers(0, symbols, (texts, items))
        return _said_again(said, np.append(np.arange(items), -1))

    return Task(draw, _letters(symbols))


def count(symbols: int) -> Task:
    """`aaaa>` is answered by `aaaa` and an end: what to say is plain, and how often must be counted. It is `rsc`, "repeat one
    token", of the authors of arXiv:2305.19466."""

    def draw(random: np.random.Generator, items: int, texts: int) -> Texts:
        said = (FIRST + random.integers(0, symbols, (texts, 1))).repeat(items, 1)
        return _said_again(said, np.full(items + 1, -1))

    return Task(draw, _letters(symbols))


def _said_again(said: Ids, source: Ids) -> Texts:
    ask, end = (_all(len(said), token) for token in (ASK, END))
    ids = np.concatenate([said, ask, said, end], 1)
    return Texts(
        ids, said.shape[1] + 1, np.broadcast_to(source, (len(said), len(source))), np.ones(len(source), bool)
    )


def induction(symbols: int) -> Task:
    """`dacbe>a` is answered by `cb`, which followed `a`; of n + 1 symbols, all different, half of n are asked for.

    It cannot be known where they stand but by what the one before is.
    """

    def draw(random: np.random.Generator, items: int, texts: int) -> Texts:
        asked = -(-items // 2)
        said = FIRST + _different(random, symbols, items + 1, texts)
        at = random.integers(0, items - asked + 1, (texts, 1)) + np.arange(asked + 1)
        ids = np.concatenate([said, _all(texts, ASK), np.take_along_axis(said, at, 1)], 1)
        return Texts(ids, items + 3, at[:, 1:], np.ones(asked, bool))

    return Task(draw, _letters(symbols))


def retrieval(keys: int, values: int) -> Task:
    """`a3d1c2>d` is answered by `1`, `a` by `3`: of as many pairs as items, with different keys, half are asked for.

    The keys that are asked are part of what is learnt, though all that can be learnt of them is that each is asked once.
    """

    def draw(random: np.random.Generator, items: int, texts: int) -> Texts:
        asked = -(-items // 2)
        key = FIRST + _different(random, keys, items, texts)
        value = FIRST + keys + random.integers(0, values, (texts, items))
        at = _different(random, items, asked, texts)
        pairs, again = (
            np.stack(two, 2).reshape(texts, -1)
            for two in ((key, value), (np.take_along_axis(key, at, 1), np.take_along_axis(value, at, 1)))
        )
        source = np.stack([np.full_like(at, -1), 2 * at + 1], 2).reshape(texts, -1)[:, 1:]
        ids = np.concatenate([pairs, _all(texts, ASK), again], 1)
        return Texts(ids, 2 * items + 2, source, source[0] >= 0)

    return Task(draw, _letters(keys) + tuple(f"{value}." for value in range(values)))


def addition() -> Task:
    """`47+91>` is answered by `561` and an end, 74 + 19 = 093 is `390`: the lowest digit first, and one digit more."""

    def draw(random: np.random.Generator, items: int, texts: int) -> Texts:
        a, b = random.integers(0, 10, (2, texts, items))
        total, carry = np.zeros((texts, items + 1), np.int64), np.zeros(texts, np.int64)
        for place in range(items):
            carry, total[:, place] = np.divmod(a[:, place] + b[:, place] + carry, 10)
        total[:, items] = carry
        plus, ask, end = (_all(texts, token) for token in (PLUS, ASK, END))
        ids = np.concatenate([FIRST + a, plus, FIRST + b, ask, FIRST + total, end], 1)
        return Texts(ids, 2 * items + 2, np.full((texts, items + 2), -1), np.ones(items + 2, bool))

    return Task(draw, tuple(string.digits), separators=(PAD, ASK, PLUS))


def task(name: str, symbols: int, longest: int) -> Task:
    """A task of `params.TASKS` by name.

    Args:
        symbols: of which items are, or the values of retrieval.
        longest: items of the longest text; items that are all different need more symbols than that.
    """
    enough = max(symbols, longest + 1)
    made = {
        "copy": lambda: copy(symbols),
        "count": lambda: count(symbols),
        "induction": lambda: induction(enough),
        "retrieval": lambda: retrieval(enough, symbols),
        "addition": addition,
    }
    return made[name]()


def _different(random: np.random.Generator, of: int, count: int, texts: int) -> Ids:
    """(texts, count) numbers below `of`, all of a row different."""
    return random.permuted(np.tile(np.arange(of), (texts, 1)), axis=1)[:, :count]


def _letters(symbols: int) -> tuple[str, ...]:
    return tuple(LETTERS[i] if i < len(LETTERS) else f"<{i}>" for i in range(symbols))


def _all(texts: int, token: int) -> Ids:
    return np.full((texts, 1), token, np.int64)
