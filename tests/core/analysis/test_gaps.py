"""A share of the way from one variant to another: taken seed by seed, or not at all."""

import math

import pandas as pd
import pytest

from lab.core.analysis.comparison import compare
from lab.core.analysis.gaps import with_gaps
from lab.core.experiment.schema import Experiment


def experiment(better="lower", **more):
    return Experiment.model_validate(
        {
            "name": "x", "title": "x", "question": "?", "trial": "x", "seeds": 6, "baseline": "none",
            "variants": {"none": {}, "all": {}, "some": {}}, **more,
            "metrics": {
                "kl": {"kind": "trained", "better": better},
                "gap": {"kind": "trained", "unit": "%", "better": "higher", "gap": {"of": "kl", "zero": "none", "whole": "all"}},
            },
        }
    )  # fmt: skip


def values(rows):
    return pd.DataFrame(
        [(variant, "kl", seed, x) for variant, xs in rows.items() for seed, x in enumerate(xs)],
        columns=["variant", "metric", "replicate", "value"],
    )


def gaps(table, variant):
    rows = table[(table["metric"] == "gap") & (table["variant"] == variant)]
    return dict(zip(rows["replicate"], rows["value"], strict=True))


def test_a_share_is_that_of_each_seed_and_not_of_the_means():
    table = with_gaps(experiment(), values({"none": [3.0, 10.0], "all": [1.0, 2.0], "some": [2.0, 4.0]}))
    assert gaps(table, "some") == {0: 50.0, 1: 75.0}
    assert gaps(table, "none") == {0: 0.0, 1: 0.0} and gaps(table, "all") == {0: 100.0, 1: 100.0}
    higher = with_gaps(experiment("higher"), values({"none": [0.2], "all": [0.6], "some": [0.5]}))
    assert gaps(higher, "some")[0] == pytest.approx(75)


def test_what_two_seeds_do_to_all_three_leaves_no_spread():
    rows = {
        name: [x + seed for seed in range(6)] for name, x in {"none": 3.0, "all": 1.0, "some": 1.5}.items()
    }
    found = compare(experiment(), with_gaps(experiment(), values(rows)))
    row = found[(found["metric"] == "gap") & (found["variant"] == "some")].iloc[0]
    assert (row["estimate"], row["low"], row["high"]) == pytest.approx((75, 75, 75)) and row[
        "best"
    ] is not True


@pytest.mark.parametrize(
    "rows",
    [
        {"none": [3.0, 1.0], "all": [1.0, 2.0], "some": [2.0, 2.0]},  # the second seed has no way to go
        {"none": [3.0, 3.0], "some": [2.0, 2.0]},
    ],
)
def test_without_a_way_there_is_no_share(rows):
    table = with_gaps(experiment(), values(rows))
    assert set(table["metric"]) == {"kl"}


def test_a_seed_that_lacks_one_of_the_three_has_no_share():
    table = with_gaps(experiment(), values({"none": [3.0, 3.0], "all": [1.0], "some": [2.0, 2.0]}))
    assert gaps(table, "some") == {0: 50.0}
    assert not any(math.isnan(x) for x in table["value"])
