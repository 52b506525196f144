"""Which stored trials belong to an experiment."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from lab.core.experiment.discovery import BUILT_IN
from lab.core.experiment.load import load
from lab.core.run.plan import plan
from lab.core.run.trial_rows import fitting


@pytest.mark.parametrize("path", sorted(BUILT_IN.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_planned_trial_belongs(path: Path) -> None:
    """Those too at values that only `checks` have of an axis, whatever JSON makes of them."""
    loaded = load(str(path))
    trials = [json.loads(json.dumps(asdict(trial))) for trial in plan(loaded)]
    kept, left_out = fitting(loaded.experiment, trials)
    assert not left_out and len(kept) == len(trials)


def test_another_variant_or_point_does_not_and_one_trial_counts_once() -> None:
    loaded = load("softmax-alternatives")
    (check, *_) = (trial for trial in plan(loaded) if trial.kind == "check")
    others = [
        replace(check, variant="nobody"),
        replace(check, point={**check.point, "columns": 7}),
        replace(check, point={}),
        check,
    ]
    kept, left_out = fitting(loaded.experiment, [asdict(trial) for trial in (check, *others)])
    assert len(kept) == 1 and len(left_out) == len(others)
