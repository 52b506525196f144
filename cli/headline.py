"""The one table of a screen: the baseline, what the user added, the best of each tier, then the others."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .tables import comparison, is_shown

if TYPE_CHECKING:
    from ..core.experiment.schema import Experiment
    from ..core.report.table import Cell, Row, Table, Tier
    from ..core.run.results import Results


def largest(experiment: Experiment) -> dict[str, Any]:
    """What `headline` says, else the largest value of each axis, and what `params` says of the rest."""
    point: dict[str, Any] = {}
    for key in experiment.point_keys:
        values = experiment.axes.get(key)
        if experiment.headline.get(key) in (values or []):
            point[key] = experiment.headline[key]
        elif values is None:
            point[key] = experiment.params[key]
        else:
            numbers = [value for value in values if isinstance(value, int | float)]
            point[key] = max(numbers) if len(numbers) == len(values) else values[-1]
    return point


def headline(results: Results) -> tuple[Table, int] | None:
    """Every variant at the headline's point in one list, and how many of the first rows no screen leaves out; None where
    nothing was measured there."""
    from ..core.report.table import Row
    from ..core.report.table import Tier as Group

    experiment, rows = results.experiment, results.comparison
    for key, value in largest(experiment).items():
        rows = rows[rows[key] == value]
    made = comparison(experiment, rows)
    if not made:
        return None
    table, own = made[0], results.facts.get("own") or []
    found = {row.name: (tier, row) for tier in table.tiers for row in tier.rows}
    first = [experiment.baseline] if experiment.baseline in found else []
    mine = [name for name in own if name in experiment.variants and name != experiment.baseline]
    for name in mine:
        tier, row = found.get(name, (table.tiers[0], Row(name, [], [], "no figure", name=name)))
        found[name] = tier, replace(row, own=True)
    order = list(dict.fromkeys([*first, *mine, *_best(table)]))
    others = [name for name, (_, row) in found.items() if is_shown(row)]
    others.sort(key=lambda name: experiment.variants[name].tier == "reference")
    shown = list(dict.fromkeys([*order, *others]))
    flat = replace(table, tiers=[Group("", "", [found[name][1] for name in shown])])
    return _with_rivals(flat, experiment), len(order)


def _best(table: Table) -> list[str]:
    """The variant that leads each tier by the first figure in which one can be better; nobody leads `reference`."""
    at = next((i for i, column in enumerate(table.metrics) if column.better), None)
    if at is None:
        return []
    sign = -1 if table.metrics[at].better == "higher" else 1
    leaders = (_leader(tier, at, sign) for tier in table.tiers if tier.name != "reference")
    return [leader.name for leader in leaders if leader is not None]


def _leader(tier: Tier, at: int, sign: int) -> Row | None:
    def figure(cell: Cell) -> float:
        return math.inf if isinstance(cell.sort, str) or math.isnan(cell.sort) else sign * cell.sort

    rows = [row for row in tier.rows if row.cells and figure(row.cells[at]) < math.inf]
    return min(rows, key=lambda row: figure(row.cells[at]), default=None)


def _with_rivals(table: Table, experiment: Experiment) -> Table:
    """Where rows of several tiers stand in one list, a column that says beside which variant each of them was compared."""
    from ..core.report.table import Cell, Column

    (tier,) = table.tiers
    at = next((i + 1 for i, column in enumerate(table.metrics) if column.compared), None)
    rivals = {row.name: experiment.baseline_of(row.name) or "" for row in tier.rows}
    if at is None or len({*rivals.values()} - {""}) < 2:
        return table

    def with_rival(row: Row) -> Row:
        rival = "" if rivals[row.name] == row.name else rivals[row.name]
        return (
            replace(row, cells=[*row.cells[:at], Cell(rival, rival), *row.cells[at:]]) if row.cells else row
        )

    beside = Column("beside", "the first of its tier", is_number=False)
    rows = [with_rival(row) for row in tier.rows]
    return replace(
        table,
        metrics=[*table.metrics[:at], beside, *table.metrics[at:]],
        tiers=[replace(tier, rows=rows)],
    )
