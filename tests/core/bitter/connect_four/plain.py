"""Connect-Four without bitboards: a position is a text for each column, from below, x for who moves first and o."""

from __future__ import annotations

from functools import cache


def has_line(columns, rows, connect, mark):
    cells = {(c, r) for c, column in enumerate(columns) for r, each in enumerate(column) if each == mark}
    return any(
        all((c + i * dc, r + i * dr) in cells for i in range(connect))
        for c, r in cells
        for dc, dr in ((1, 0), (0, 1), (1, 1), (1, -1))
    )


def values(columns, rows, connect):
    """Of every position that can be reached: {columns: (value for who moves, value of each move or None)}."""
    known = {}

    @cache
    def value(position):
        discs = sum(map(len, position))
        mark, before = "xo" if discs % 2 == 0 else "ox"
        if has_line(position, rows, connect, before):
            known[position] = -1, [None] * columns
        elif discs == columns * rows:
            known[position] = 0, [None] * columns
        else:
            moves = [
                -value((*position[:c], column + mark, *position[c + 1 :])) if len(column) < rows else None
                for c, column in enumerate(position)
            ]
            known[position] = max(move for move in moves if move is not None), moves
        return known[position][0]

    value(("",) * columns)
    return known


def as_columns(board, own, other):
    """The same of a position on bitboards."""
    discs = bin(own).count("1") + bin(other).count("1")
    mine, theirs = ("x", "o") if discs % 2 == 0 else ("o", "x")
    found = []
    for cells in board.cells.T.tolist():
        marks = [mine if own >> cell & 1 else theirs if other >> cell & 1 else "" for cell in cells]
        assert "" not in marks or not any(marks[marks.index("") :]), "a disc without one below it"
        found.append("".join(marks))
    return tuple(found)
