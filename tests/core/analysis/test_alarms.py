"""Figures that ring: by the mean over seeds, once for a metric."""

import pandas as pd

from lab.core.analysis.alarms import alarms
from lab.core.experiment.schema import Experiment


def experiment(**of_metric):
    return Experiment.model_validate(
        {
            "name": "x", "title": "x", "question": "?", "trial": "x", "seeds": 6, "baseline": "a",
            "variants": {"a": {}, "b": {}, "c": {}}, "metrics": {"lead": {"kind": "trained", **of_metric}},
        }
    )  # fmt: skip


LEADS = pd.DataFrame(
    [("a", -0.1), ("a", -0.3), ("b", 0.1), ("b", 0.3), ("c", -0.2), ("c", 0.1)], columns=["variant", "value"]
).assign(metric="lead", replicate=[0, 1, 0, 1, 0, 1])


def test_the_note_names_the_worst_of_those_below():
    ringing = experiment(unit="bits", alarm={"below": 0, "says": "train it longer"})
    assert list(alarms(ringing, LEADS)) == ["train it longer (lead -0.2 bits in a; so in 2 of 3 variants)"]


def test_nothing_rings_above_or_without_an_alarm():
    assert not list(alarms(experiment(alarm={"below": -0.2, "says": "?"}), LEADS))
    assert not list(alarms(experiment(), LEADS))
