"""Boards of Connect-Four and their rules, on bitboards.

A column has `rows` + 1 bits, its lowest cell first; the topmost bit stays empty, so that no line runs on from one column into
the next. A position is two sets of discs, those of the player to move (`own`) and the other's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

MOST = 30_000_000
"""Arrangements of discs, see `Board.arrangements`: what is solved in seconds. 5 x 4 has 28.6 million."""


@dataclass(frozen=True)
class Board:
    """Who has `connect` in a row wins: across, upright or on a diagonal.

    Attributes:
        columns: into which discs fall.
        rows: discs that a column holds.
        connect: of a line.

    Raises ValueError: there is no such board, or it is too large to be solved here.
    """

    columns: int = 5
    rows: int = 4
    connect: int = 4

    def __post_init__(self) -> None:
        for name in ("columns", "rows"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; a board has 1 or more")
        if self.connect < 2:
            raise ValueError(f"connect is {self.connect}; a line has 2 discs or more")
        if self.arrangements > MOST:
            raise ValueError(
                f"a board of {self.columns} x {self.rows} has up to {self.arrangements:.3g} positions, too many to solve: "
                f"{MOST:,} at most, as 5 x 4 and 4 x 5 have"
            )

    @property
    def arrangements(self) -> int:
        """A bound on the number of positions: ways to fill each column with discs of two colours, from below."""
        return int((2 ** (self.rows + 1) - 1) ** self.columns)

    @cached_property
    def cells(self) -> np.ndarray:
        """(rows, columns), the bit of each cell; the lowest row first."""
        return np.arange(self.rows)[:, None] + np.arange(self.columns) * (self.rows + 1)

    @property
    def full(self) -> int:
        """All cells."""
        return sum(1 << int(cell) for cell in self.cells.ravel())

    @cached_property
    def lines(self) -> np.ndarray:
        """(lines,), the cells of each line that wins."""
        found = []
        for across, up in ((1, 0), (0, 1), (1, 1), (1, -1)):
            for column in range(self.columns):
                for row in range(self.rows):
                    cells = [(row + up * i, column + across * i) for i in range(self.connect)]
                    if all(0 <= r < self.rows and 0 <= c < self.columns for r, c in cells):
                        found.append(sum(1 << int(self.cells[r, c]) for r, c in cells))
        return np.array(found, np.int64)

    def won(self, discs: np.ndarray) -> np.ndarray:
        """Whether some of these are a line; of any shape."""
        found = np.zeros_like(discs, bool)
        for step in (1, self.rows, self.rows + 1, self.rows + 2):
            line = discs
            for i in range(1, self.connect):
                line = line & (discs >> (i * step))
            found |= line != 0
        return found

    def dropped(self, taken: np.ndarray, column: int) -> np.ndarray:
        """The cell into which a disc falls; 0 where the column is full. `taken`: all discs."""
        lowest = 1 << int(self.cells[0, column])
        free: np.ndarray = (taken + lowest) & ~taken & (((1 << self.rows) - 1) * lowest)
        return free

    def as_cells(self, discs: np.ndarray) -> np.ndarray:
        """(…) to (…, rows, columns) of 0 and 1, the lowest row first."""
        found: np.ndarray = (np.asarray(discs)[..., None, None] >> self.cells & 1).astype(np.int8)
        return found
