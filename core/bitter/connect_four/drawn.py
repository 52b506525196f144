"""A position in characters, with what perfect play and a player think of each move."""

from __future__ import annotations

import numpy as np

from .board import Board
from .solved import Solved

WORDS = {1: "won", 0: "drawn", -1: "lost"}


def drawn(board: Board, game: Solved, row: int, thought: np.ndarray, name: str, chosen: int) -> str:
    """At most 80 columns wide for boards that can be solved.

    Args:
        thought: (columns,), what the player thinks each move is worth, for who makes it.
        chosen: the column that it plays.
    """
    own, other = board.as_cells(game.own[row]), board.as_cells(game.other[row])
    marks = np.where(own, "x", np.where(other, "o", "."))[::-1]
    width = max(10, len(name) + 2)
    cells = min(7, (80 - width) // board.columns)
    lines = [" " * width + "".join(f"{mark:>{cells}}" for mark in line) for line in marks]
    true = ["" if np.isnan(worth) else WORDS[int(worth)] for worth in game.of_moves(row)]
    lines.append(f"{'true':<{width}}" + "".join(f"{word:>{cells}}" for word in true))
    said = ["" if np.isnan(worth) else f"{worth:+.2f}" for worth in thought]
    lines.append(f"{name:<{width}}" + "".join(f"{word:>{cells}}" for word in said))
    lines.append(f"{'plays':<{width}}" + " " * cells * chosen + f"{'^':>{cells}}")
    return "x to move\n" + "\n".join(line.rstrip() for line in lines)
