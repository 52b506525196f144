"""Names of trials: one folder each, whatever the values are."""

from __future__ import annotations

import itertools

import yaml
from hypothesis import given
from hypothesis import strategies as st

from lab.core.experiment.load import Loaded, load
from lab.core.experiment.request import Request
from lab.core.run.estimate import seconds_left
from lab.core.run.opening import as_yaml
from lab.core.run.plan import Trial, key_of, plan, seeds_abreast
from lab.core.run.trial_rows import complete_replicates

VALUES = st.one_of(st.text(max_size=200), st.integers(), st.floats(allow_nan=False), st.booleans())
POINTS = st.dictionaries(st.sampled_from(["a", "b"]), st.text(max_size=200), max_size=2)


@given(
    st.lists(st.tuples(st.sampled_from(["x", "x_a", "y"]), POINTS, st.integers(0, 3)), min_size=2, max_size=5)
)
def test_different_trials_have_different_folders(asked: list[tuple[str, dict[str, object], int]]) -> None:
    for one, other in itertools.combinations(asked, 2):
        keys = [key_of("train", *each) for each in (one, other)]
        assert (keys[0] == keys[1]) == (repr(one) == repr(other))


@given(VALUES)
def test_a_folder_name_is_a_name(value: object) -> None:
    key = key_of("check", "x", {"a": value}, 0)
    assert "/" not in key and "\0" not in key and key not in (".", "..")
    assert len(key.encode()) <= 255


def trial(kind: str, variant: str, size: int) -> Trial:
    return Trial(kind, variant, {"size": size}, 0, f"{kind}.{variant}.{size}")  # type: ignore[arg-type]


def test_what_is_left_is_unknown_then_as_last_time_then_as_seen_now() -> None:
    trials = [trial("train", "a", 1), trial("train", "b", 1), trial("train", "a", 2), trial("train", "b", 2)]
    assert seconds_left(trials, {}, {}, {}, 1) is None
    last = {("train", "size=1"): 10.0, ("train", "size=2"): 20.0}
    assert seconds_left(trials, {}, {}, last, 1) == 60
    assert seconds_left(trials, {}, {}, last, 2) == 30
    ended = {"train.a.1": 4.0}
    assert seconds_left(trials, ended, {}, last, 1) == 4 + 20 + 20
    assert seconds_left(trials, ended, {"train.b.1": 3.0}, last, 1) == 1 + 20 + 20
    assert seconds_left(trials, {each.key: 1.0 for each in trials}, {}, last, 1) == 0


def test_a_check_takes_as_long_as_those_of_its_variant_do_on_average() -> None:
    """And not as the longest of all, which compiled its kernel."""
    trials = [trial("check", variant, size) for variant in "ab" for size in (1, 2, 3)]
    assert seconds_left(trials, {"check.a.1": 9.0, "check.a.2": 1.0}, {}, {}, 1) == 5 + 3 * 5
    last = {("check", "size=1"): 2.0, ("check", "size=2"): 4.0, ("check", "size=3"): 6.0}
    assert seconds_left(trials, {"check.a.1": 9.0, "check.a.2": 1.0}, {}, last, 1) == 5 + 2 + 4 + 6
    ended = {"check.a.1": 9.0, "check.a.2": 1.0, "check.b.1": 2.0}
    assert seconds_left(trials, ended, {}, {}, 1) == 5 + 2 * 2


def test_timing_is_alone_whatever_the_workers() -> None:
    trials = [trial("time", "", 1), trial("time", "", 2)]
    assert seconds_left(trials, {}, {}, {("time", "size=1"): 5.0, ("time", "size=2"): 5.0}, 8) == 10


def test_as_many_seeds_are_under_way_as_there_are_workers() -> None:
    planned = [Trial("train", v, {}, seed, f"{v}{seed}") for seed in range(3) for v in "ab"]
    assert [t.key for t in seeds_abreast(planned, 1)] == ["a0", "b0", "a1", "b1", "a2", "b2"]
    assert [t.key for t in seeds_abreast(planned, 2)] == ["a0", "a1", "b0", "b1", "a2", "b2"]
    assert [t.key for t in seeds_abreast(planned[1:], 4)] == ["b0", "a1", "a2", "b1", "b2"]


def trained_at(loaded: Loaded, variant: str) -> set[object]:
    return {each.point["long"] for each in plan(loaded) if each.variant == variant}


def test_a_variant_is_trained_at_the_values_that_it_names_only() -> None:
    whole = load("r1-distill")
    assert trained_at(whole, "rl") == {0.0, 0.1, 0.25, 0.8} and trained_at(whole, "sft-own") == {0.25}
    assert len(plan(whole)) == 6 * (4 * 4 + 6)
    # A seed whose planned trials have all ended is complete.
    ended = [{"kind": each.kind, "replicate": each.replicate} for each in plan(whole)]
    assert complete_replicates(whole.experiment, ended) == 6
    assert complete_replicates(whole.experiment, ended[:-1]) == 5
    # An axis without any of them has been set to something else, which they take part in.
    changed = load("r1-distill", Request(sets=("long=0.3,0.5",)))
    assert trained_at(changed, "sft-own") == {0.3, 0.5}


def test_a_run_keeps_where_its_variants_are_trained() -> None:
    whole = load("r1-distill")
    kept = yaml.safe_load(as_yaml(whole))["variants"]
    assert kept["sft-own"]["only"] == {"long": [0.25]} and "only" not in kept["rl"]
