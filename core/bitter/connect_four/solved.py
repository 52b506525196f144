"""All positions that a game can come to, and what each is worth under perfect play, by going backwards from the ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...source_digest import source_digest
from ...trial import Context
from .board import Board


class Solved(NamedTuple):
    """The game as a graph; a position is its row, and positions with more discs come later.

    Attributes:
        own: (positions,) int32, discs of the player to move.
        other: (positions,) int32.
        children: (positions, columns) int32, where each column leads to; -1 where it is full or the game has ended.
        ended: (positions,) bool.
        value: (positions,) int8, for the player to move: 1 won, 0 drawn, -1 lost. How long it takes does not count.
        deciding: int32, the positions where moves differ in what they are worth, so that one can be wrong.
    """

    own: np.ndarray
    other: np.ndarray
    children: np.ndarray
    ended: np.ndarray
    value: np.ndarray
    deciding: np.ndarray

    def of_moves(self, row: int) -> np.ndarray:
        """(columns,), what each move at a position is worth for who makes it; NaN where there is none."""
        worth: np.ndarray = np.where(self.children[row] < 0, np.nan, -self.value[self.children[row]])
        return worth


def solve(board: Board) -> Solved:
    """Every position that can be reached, and its value."""
    own, other = np.zeros(1, np.int64), np.zeros(1, np.int64)
    plies: list[tuple[np.ndarray, ...]] = []
    before = 0
    while len(own):
        taken = own | other
        ended = board.won(other) | (taken == board.full)
        cells = np.stack([board.dropped(taken, column) for column in range(board.columns)], 1)
        cells[ended] = 0
        at, column = cells.nonzero()
        moved = own[at] | cells[at, column]
        found, place = np.unique(
            moved << 32 | other[at], return_inverse=True
        )  # who has moved is the other now
        before += len(own)
        children = np.full(cells.shape, -1, np.int32)
        children[at, column] = before + place
        plies.append((own, other, children, ended))
        own, other = found & 0xFFFFFFFF, found >> 32
    own, other, children, ended = (np.concatenate(part) for part in zip(*plies, strict=True))
    value = np.where(board.won(other), -1, 0).astype(np.int8)
    deciding, end = np.zeros(len(own), bool), len(own)
    for ply in reversed(plies):
        rows = slice(end - len(ply[0]), end)
        end = rows.start
        worth = np.where(children[rows] < 0, -2, -value[children[rows]])
        best = worth.max(1)
        value[rows] = np.where(ended[rows], value[rows], best)
        deciding[rows] = best > np.where(children[rows] < 0, 2, worth).min(1)
    game = Solved(
        own.astype(np.int32), other.astype(np.int32), children, ended, value,
        deciding.nonzero()[0].astype(np.int32),
    )  # fmt: skip
    for part in game:
        part.flags.writeable = False
    return game


def solved(board: Board, context: Context) -> Solved:
    """The same, solved once on a machine; its arrays are mapped from files, which processes share."""

    def make(folder: Path) -> None:
        context.progress(0, 0, f"solves {board.columns} x {board.rows}")
        for name, part in solve(board)._asdict().items():
            np.save(folder / f"{name}.npy", part)

    key = json.dumps(
        ["connect-four solved", board.columns, board.rows, board.connect, source_digest(__name__)]
    )
    folder = context.cached(key, make)
    return Solved(*(np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in Solved._fields))
