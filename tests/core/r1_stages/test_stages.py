"""The pipeline through the experiment's door: what each stage begins with, what is made once, resuming, and what is refused."""

import hashlib
import json
import math
import subprocess
import sys

import pytest
import torch
from one_trial import Stop, context_in
from pydantic import ValidationError

from lab.core.r1_stages import samples
from lab.core.r1_stages.params import Params, way_to
from lab.core.r1_stages.samples import in_form
from lab.core.r1_stages.trial import trial
from lab.core.trial import Refused

STAGES = {
    "zero": {"after": "base", "by": "reward", "steps": 2},
    "dev1": {"after": "zero", "by": "samples", "samples": 4},
    "dev2": {"after": "dev1", "by": "reward", "reward": "accuracy+format+language", "steps": 2},
    "dev3": {"after": "dev2", "by": "samples", "samples": 8, "demonstrations": 8, "epochs": 1},
    "r1": {"after": "dev3", "by": "reward", "steps": 4, "general": 0.5, "preference_from": 0.5},
}  # fmt: skip
TINY = {
    "structure": "z3", "alphabet": "ABC", "base_depth": (1, 2), "train_depth": (1, 2), "harder_depth": (3, 3), "also_share": 0.4,
    "long": 0.9, "mixed": 0.2, "second": 0.3, "slips": 0.0, "d_model": 16, "layers": 1, "heads": 2, "kv_heads": 1, "d_ff": 16,
    "base_steps": 150, "base_batch": 32, "demonstrations": 1000, "num_prompts": 4, "num_generations": 4, "eval_every": 1,
    "eval_problems": 4, "eval_samples": 4, "pairs": 64, "letters": (3, 4), "stages": STAGES,
}  # fmt: skip
NAMES = ["base", *STAGES]
STILL = {"learning_rate": 1e-30, "sample_learning_rate": 1e-30}  # so small that no weight changes


@pytest.fixture(scope="session")
def _base(tmp_path_factory):
    return tmp_path_factory.mktemp("r1_stages")


@pytest.fixture
def run(_base):
    """A trial at a stage: its figures, and its context, whose `made` are the keys of what it did not find in the cache."""

    def run_it(stage, folder=_base, stop_at=None, keep=False, **changes):
        if not keep:
            (folder / "state").unlink(missing_ok=True)
        context = context_in(folder)
        context.made, context.trained = [], []

        def progress(done, of, what=""):
            if what in STAGES:
                context.trained.append((what, done))
                if (what, done) == (stage, stop_at):
                    raise Stop

        context.progress = progress

        def cached(key, make):
            made = folder / "cache" / hashlib.sha256(key.encode()).hexdigest()
            if not made.exists():
                (unfinished := made.with_suffix(".unfinished")).mkdir(exist_ok=True)
                make(unfinished)
                unfinished.rename(made)
                context.made.append(key)
            return made

        context.cached = cached
        return trial(Params(**TINY | {"stage": stage} | changes), context), context

    return run_it


def made(context, what):
    return [json.loads(key) for key in context.made if json.loads(key)[0] == what]


def test_parameters_are_read_without_torch():
    line = "import sys, lab.core.r1_stages.trial; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", line], check=False).returncode == 0


def test_every_stage_is_made_once_and_measured_against_the_one_before(run, tmp_path):
    figures = {}
    for name in NAMES:
        figures[name], context = run(name, folder=tmp_path)
        assert len(made(context, "stage")) == (name != "base")
        assert len(made(context, "measured")) == 1
        assert all(map(math.isfinite, figures[name].values()))
        steps = {"base": 0, "zero": 2, "dev1": 4, "dev2": 2, "dev3": 1, "r1": 4}[name]
        assert [step for step, values in context.records if values] == list(range(1, steps + 1))
        assert [text.split(":")[0] for _, text in context.samples if ": " in text] == [
            n for n in NAMES[: NAMES.index(name) + 1] for _ in "ab"
        ]
    for before, name in zip(NAMES, NAMES[1:], strict=False):
        for key in ("right", "taste", "format"):
            assert figures[name][f"change/{key}"] == pytest.approx(figures[name][key] - figures[before][key])
            assert figures[name][f"since_first/{key}"] == pytest.approx(
                figures[name][key] - figures["zero"][key]
            )
    again, context = run("r1", folder=tmp_path)
    assert again == figures["r1"] and not context.made
    assert [values for step, values in context.records if step == 4][0]["step/taste"] >= 0


def test_variants_share_what_they_have_in_common(run):
    run("r1")
    for changes, new in [
        ({"without": "r1"}, 0),
        ({"change": {"r1": {"preference_from": 0.0}}}, 1),
        ({"better_in_order": (0.0, 0.1)}, 2),  # Dev1 is shown none of these
        ({"flaw": 0.9}, 1),  # only R1 is trained by preference; all that is shown is measured by it
        ({"without": "dev3"}, 1),
        ({"without": ["dev2"]}, 2),
        ({"change": {"dev1": {"samples": 5}}}, 4),
        ({"without": "zero"}, 4),
    ]:
        _, context = run("r1", **changes)
        assert len(made(context, "stage")) == new, changes
        assert not made(context, "base"), changes


def test_a_stage_by_samples_begins_at_the_base_and_one_by_reward_at_the_stage_before(
    run, tmp_path, monkeypatch
):
    from lab.core.r1_stages import stages

    seen = {}
    measure = stages._measured
    monkeypatch.setattr(
        stages,
        "_measured",
        lambda model, *rest: seen.setdefault(rest[0], (len(seen), model)) and measure(model, *rest),
    )
    learns = {"sample_learning_rate": 1e-2}
    run("r1", folder=tmp_path, **STILL | learns)
    weights = [
        torch.cat([w.flatten() for w in model.state_dict().values()])
        for _, model in sorted(seen.values(), key=lambda x: x[0])
    ]
    base, zero, dev1, dev2, dev3, r1 = weights
    assert torch.equal(zero, base) and torch.equal(dev2, dev1) and torch.equal(r1, dev3)
    assert not torch.equal(dev1, base) and not torch.equal(dev3, dev2)
    seen.clear()
    run("dev3", folder=tmp_path, **STILL | {"learning_rate": 1e-3})
    base, zero, dev1, dev2, dev3 = (
        torch.cat([w.flatten() for w in model.state_dict().values()])
        for _, model in sorted(seen.values(), key=lambda x: x[0])
    )
    assert not torch.equal(zero, base) and not torch.equal(dev2, dev1)
    assert torch.equal(dev1, base) and torch.equal(dev3, base), "bit for bit"


@pytest.mark.parametrize("stage", ["zero", "dev3", "r1"])
def test_a_killed_trial_goes_on_to_the_same_figures(run, tmp_path, stage):
    batch = {"sample_batch": 4}
    (whole := tmp_path / "whole").mkdir()
    (killed := tmp_path / "killed").mkdir()
    expected, _ = run(stage, folder=whole, **batch)
    with pytest.raises(Stop):
        run(stage, folder=killed, stop_at=2, **batch)
    resumed, context = run(stage, folder=killed, keep=True, **batch)
    assert resumed == expected
    assert len(made(context, "stage")) == 1, "those before it were done"
    assert context.trained[0] == (stage, 2), "and it went on from its checkpoint"


def test_samples_are_what_the_filters_say(run, monkeypatch):
    drawn = []
    accepted = samples.accepted
    from lab.core.r1_stages import stages

    monkeypatch.setattr(
        stages, "accepted", lambda *args: drawn.append((args[1], accepted(*args))) or drawn[-1][1]
    )
    run("dev1", change={"dev1": {"samples": 37}})
    ((task, shown),) = drawn
    assert len(shown) == 37
    for problem, text in shown:
        assert task.is_right(problem, text) and in_form(text, task.alphabets)


def test_more_samples_than_there_are_is_refused_with_the_count(run):
    with pytest.raises(Refused, match=r"600 samples are asked for, and of 512 answers of zero \d+ are right"):
        run("dev1", change={"dev1": {"samples": 600}}, most_answers=300)


def test_what_comes_after_a_stage_that_is_left_out_comes_after_the_one_before_it():
    def way(**changes):
        return way_to(Params(**TINY | {"stage": "r1"} | changes))

    assert way() == list(STAGES)
    assert way(without="dev2") == ["zero", "dev1", "dev3", "r1"]
    assert way(without=["zero", "dev1"]) == ["dev2", "dev3", "r1"]
    assert way(without="r1") == ["zero", "dev1", "dev2", "dev3"]
    assert way(stage="base") == []


def stages(**changes):
    return {"stages": {name: {**stage, **changes.get(name, {})} for name, stage in STAGES.items()}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            stages(dev2={"after": "dev11"}),
            "stage dev2 comes after dev11, which is no stage. Did you mean dev1",
        ),
        (stages(dev1={"after": "dev3"}), "stage dev1 comes after dev3, which stands behind it"),
        ({"stages": {"dev2": {"by": "reward"}}}, "after"),
        ({"stage": "dev4"}, "stage: no stage dev4. Did you mean dev"),
        ({"without": "zeor"}, "without: no stage zeor. Did you mean zero"),
        ({"change": {"dev4": {}}}, "change: no stage dev4. Did you mean dev"),
        ({"change": {"dev1": {"sample": 3}}}, "change: stage dev1: no sample. Did you mean samples"),
        (
            {"change": {"zero": {"samples": 3}}},
            "change: stage zero: samples means nothing to a stage by reward",
        ),
        (
            {"change": {"zero": {"preference_from": 0.5}}},
            "preference_from is for general prompts, and there are none",
        ),
        (
            {"change": {"r1": {"general_from": 0.75}}},
            "preference_from is 0.5, and general prompts come from 0.75 on",
        ),
        ({"change": {"dev1": {"samples": 0}}}, "is shown nothing"),
        (stages(zero={"reward": "acuracy"}), "no reward 'acuracy'. Did you mean accuracy"),
        ({"alphabet": "", "mixed": 0.0, "second": 0.0}, "needs|give a second"),
        ({"letters": (1, 4)}, "letters is"),
        ({"change": {"r1": {"after": "zero"}}}, "after cannot be changed"),
        ({"without": "r1", "change": {"r1": {"stepz": 3}}}, "no stepz. Did you mean steps"),
        ({"change": {"r1": {"general": 0.05}}}, "general is 0.05, 0 of the 4 prompts"),
        ({"change": {"r1": {"general": 0.95}}}, "general is 0.95, 4 of the 4 prompts"),
        ({"in_order": (0.8, 0.2)}, "in_order is"),
        ({"also": "reverse"}, "leave model, algorithm and also"),
    ],
)
def test_what_means_nothing_is_refused_before_anything_is_trained(changes, message):
    with pytest.raises(ValidationError, match=message):
        Params(**TINY | changes)
