"""A variant that is known to be twice as fast reads so wherever its speed is shown."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lab.cli.tables import plain_rows
from lab.core.analysis.comparison import compare
from lab.core.analysis.summary import fill
from lab.core.experiment.schema import Experiment
from lab.core.report.table import tables


def test_half_the_time_is_twice_the_speed() -> None:
    made = Experiment.model_validate(
        {
            "name": "x", "title": "t", "question": "q", "trial": "x", "baseline": "base", "repeats": 6,
            "variants": {"base": {}, "half": {}, "double": {}},
            "metrics": {"time": {"unit": "ms", "kind": "timed", "better": "lower"}},
            "summary": "{time: half / base} of the time",
        }
    )  # fmt: skip
    noise = np.random.default_rng(1)
    values = pd.DataFrame(
        (name, "time", repeat, ms * noise.lognormal(0, 0.02))
        for name, ms in {"base": 10.0, "half": 5.0, "double": 20.0}.items()
        for repeat in range(6)
    )
    values.columns = pd.Index(["variant", "metric", "replicate", "value"])
    (table,) = tables(made, compare(made, values))
    rows = {row.variant: row.cells[1] for tier in table.tiers for row in tier.rows}
    assert [column.name for column in table.metrics] == ["time", "speed"]
    assert (
        abs(float(rows["half"].text.rstrip("x")) - 2) < 0.1
        and abs(float(rows["double"].text.rstrip("x")) - 0.5) < 0.03
    )
    for name, speed in (("half", 2.0), ("double", 0.5)):
        low, high = map(float, rows[name].interval.strip("[]").split(","))
        assert (
            low <= float(rows[name].text.rstrip("x")) <= high and low < speed * 1.05 and high > speed * 0.95
        )
    header, cells = plain_rows(table)
    shown = {row[1]: row[header.index("speed")] for row in cells}
    assert shown["half"].startswith(("1.9", "2.0")) and shown["double"].startswith(("0.4", "0.5"))
    assert fill(made, values).startswith(("0.49", "0.5"))
