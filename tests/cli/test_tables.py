"""Tables on a terminal: as many columns as fit, however many there are."""

from __future__ import annotations

import io
import itertools

import pytest
from rich.measure import Measurement

from lab.cli.screen import THEME, Screen
from lab.cli.tables import comparison_grid
from lab.core.report.table import Cell, Column, Row, Table, Tier


def made(columns: int) -> Table:
    """Columns of different widths; a name that rich would take for markup, and one of wide characters."""
    names = [f"{'m' * (1 + i % 7)}{i}" for i in range(columns)]
    names[0] = "[/]x"
    cells = [Cell(text="9" * (1 + (5 * i) % 9), sort=i, best=i % 3 == 0) for i in range(columns)]
    rows = [Row("一二三", [], cells), Row("[bold]b", [], [], "wrong", "3 rows")]
    return Table("", [], [Column(name) for name in names], [Tier("", "", rows), Tier("reference", "", rows)])


def measured(table: Table, width: int) -> tuple[int, int, int]:
    """Columns shown, columns left out, width on a screen without end."""
    screen = Screen(file=io.StringIO(), width=width, theme=THEME)
    grid, left_out = comparison_grid(table, screen)
    options = screen.options.update(width=10_000)
    return len(grid.columns) - 1, len(left_out), Measurement.get(screen, options, grid).maximum


@pytest.mark.parametrize("width", [20, 40, 57, 80, 81, 82])
def test_as_many_columns_are_shown_as_fit(width: int) -> None:
    shown, left_out, wide = measured(made(30), width)
    assert shown + left_out == 30 and (wide <= width or shown == 2)
    one_more = next(at for at in itertools.count(width + 1) if measured(made(30), at)[0] > shown)
    assert measured(made(30), one_more)[2] == one_more, (
        "at the first width that shows more, that is just filled"
    )


def test_two_columns_are_shown_wherever_and_all_where_there_is_room() -> None:
    assert measured(made(3), 20)[:2] == (2, 1)
    assert measured(made(3), 500)[:2] == (3, 0)
    assert measured(made(1), 20)[:2] == (1, 0)
