"""Players: what they know, and what they have learnt. The cache keeps them after 10, 100, … games, so that longer learning goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...own_files import digest_of_files
from ...source_digest import source_digest
from ...trial import Context
from .board import Board
from .compiled import SURE, Memory, Rater, learn
from .params import Params
from .solved import Solved

APART = 2_000_003
"""In the seed of learning, so that it draws nothing that the positions of `regret` are drawn from."""
AT_ONCE = 65_536
"""Positions that a function of the user's gets at a time."""


class EvaluationError(Exception):
    """An own evaluation gave not one number from -1 to 1 for each position."""


def rater(params: Params, game: Solved, context: Context) -> Rater:
    """The values by which the player searches, after `games` of self-play if it is one that learns."""
    if params.is_own:

        def make(folder: Path) -> None:
            name = params.implementation
            np.save(folder / "memo.npy", own(context.load(name), params.board, game, name).memo)

        key = json.dumps(["connect-four own", params.player(), digest_of(params), source_digest(__name__)])
        memo = np.load(context.cached(key, make) / "memo.npy")
        return hand_made(params.board, game, (0.0,))._replace(memo=memo)
    if not params.learns:
        return hand_made(params.board, game, params.weights, params.waiting)
    folder = _learnt(params, params.games, game, context)
    flat = np.load(folder / "flat.npy")
    return untrained(params, game, context.seed)._replace(flat=flat)


def digest_of(params: Params) -> str:
    """Of the Python files beside an evaluation of the user's, which it may import; empty for players of ours."""
    if not params.is_own:
        return ""
    folder = Path(params.implementation.rpartition(":")[0]).parent
    return digest_of_files(folder, folder.glob("*.py"))


def hand_made(board: Board, game: Solved, weights: tuple[float, ...], waiting: float = 1.0) -> Rater:
    """Open lines, those on which the opponent has nothing, weighed by the number of their discs; less the opponent's.

    Args:
        weights: of lines with 1, 2, … discs; the last one is for all longer ones.
        waiting: what a line of the opponent's weighs by, since the opponent has to wait.
    """
    each = np.array([weights[min(i, len(weights) - 1)] for i in range(board.connect - 1)])
    return _rater(board, game, False, board.connect, 0, np.concatenate([each, -waiting * each, [0.0]]))


def untrained(params: Params, game: Solved, seed: int) -> Rater:
    """What learning begins with; of the network He's random weights, of the rest zeros."""
    board, raw = params.board, params.implementation != "linear"
    connect = 0 if params.implementation == "learned" else board.connect
    hidden = params.hidden if raw else 0
    n = 2 * board.cells.size * raw + 2 * max(connect - 1, 0)
    random = np.random.default_rng([seed, APART])
    flat = np.zeros(n + 1 + 2 * hidden + n * hidden)
    if hidden:
        flat[n + 1 : n + 1 + hidden] = 0.1 * random.standard_normal(hidden)
        flat[n + 1 + 2 * hidden :] = random.standard_normal(n * hidden) * np.sqrt(2 / n)
    return _rater(board, game, raw, connect, hidden, flat)


def own(function: Callable[..., Any], board: Board, game: Solved, name: str) -> Rater:
    """The values of a function of the user's, of all positions at which a game goes on.

    Args:
        function: called with two arrays (batch, rows, columns) of 0 and 1, the discs of the player to move and the other's,
            the lowest row first; gives (batch,) values from -1 to 1 for the player to move.

    Raises EvaluationError: it gives something else.
    """
    found = hand_made(board, game, (0.0,))
    rows = (~game.ended).nonzero()[0]
    for start in range(0, len(rows), AT_ONCE):
        batch = rows[start : start + AT_ONCE]
        given = function(board.as_cells(game.own[batch]), board.as_cells(game.other[batch]))
        try:
            values = np.asarray(given, np.float64)
        except (TypeError, ValueError) as error:
            raise EvaluationError(f"{name} gave what is no array of numbers: {error}") from error
        if values.shape != (len(batch),):
            raise EvaluationError(
                f"{name} gave an array of shape {values.shape} for {len(batch)} positions; it gives ({len(batch)},)"
            )
        off = ~(np.abs(values) <= 1)
        if off.any():
            at = int(off.argmax())
            raise EvaluationError(
                f"{name} gave {values[at]:g} for position {start + at}; a value lies between -1, lost, and 1, won"
            )
        found.memo[batch] = SURE * values
    return found


def _rater(board: Board, game: Solved, raw: bool, connect: int, hidden: int, flat: np.ndarray) -> Rater:
    n = (len(flat) - 1 - 2 * hidden) // (1 + hidden)
    memo = np.full(len(game.own), np.nan, np.float32)
    return Rater(
        board.cells.T.ravel().copy(),
        board.lines,
        raw,
        connect,
        hidden,
        flat,
        memo,
        np.empty(n),
        np.empty(hidden),
    )


def _learnt(params: Params, games: int, game: Solved, context: Context) -> Path:
    """The folder with what is learnt after so many games: `flat`, and the arrays of `Memory`."""

    def make(folder: Path) -> None:
        r = untrained(params, game, context.seed)
        memory = fresh_memory(params, r, context.seed)
        before = 0
        if games > 10:
            before = 10 ** (len(str(games - 1)) - 1)
            earlier = _learnt(params, before, game, context)
            r = r._replace(flat=np.load(earlier / "flat.npy"))
            memory = Memory(*(np.load(earlier / f"{name}.npy") for name in Memory._fields))
        for done in range(before, games, 1000):
            context.progress(done, games, f"{params.implementation}: self-play")
            some = min(1000, games - done)
            learn(
                game, r, memory, some, params.trace, params.rate, params.explore, params.opening, params.batch
            )
        for name, part in {"flat": r.flat, **memory._asdict()}.items():
            np.save(folder / f"{name}.npy", part)

    key = json.dumps(["connect-four learnt", params.learning(), games, context.seed, source_digest(__name__)])
    return context.cached(key, make)


def fresh_memory(params: Params, r: Rater, seed: int) -> Memory:
    """An empty one."""
    state = np.random.default_rng([seed, APART, 1]).integers(1, 2**63, 1).astype(np.uint64)
    rows, targets = np.zeros(params.memory, np.int64), np.zeros(params.memory)
    return Memory(rows, targets, np.zeros_like(r.flat), np.zeros_like(r.flat), np.zeros(2, np.int64), state)
