"""A position in characters, with what perfect play and a player think of each move."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from .board import Board
from .solved import Solved

WORDS = {1: "won", 0: "drawn", -1: "lost"}


def drawn(board: Board, game: Solved, row: int, thought: Mapping[str, tuple[np.ndarray, int]]) -> str:
    """At most 80 columns wide; names of players are cut where there is no room.

    Args:
        thought: by player: (columns,) what it thinks each move is worth, for who makes it, and the column that it plays,
            which gets a star.
    """
    own, other = board.as_cells(game.own[row]), board.as_cells(game.other[row])
    width = min(max(10, *(len(name) + 2 for name in thought)), 80 - 7 * min(board.columns, 10))
    cell = min(7, (80 - width) // board.columns)

    def line(name: str, words: Iterable[str]) -> str:
        return (
            f"{name[: width - 1]:<{width}}" + "".join(f"{word[: cell - 1]:>{cell - 1}} " for word in words)
        ).rstrip()

    lines = ["x to move", *(line("", marks) for marks in np.where(own, "x", np.where(other, "o", "."))[::-1])]
    lines.append(line("true", ("" if np.isnan(worth) else WORDS[int(worth)] for worth in game.of_moves(row))))
    for name, (worths, chosen) in thought.items():
        said = [
            f"{worth:+.{min(2, max(cell - 5, 0))}f}" + "*" * (column == chosen)
            for column, worth in enumerate(worths)
        ]
        lines.append(
            line(name, ["" if np.isnan(worth) else word for word, worth in zip(said, worths, strict=True)])
        )
    return "\n".join(lines)
