"""One sampler at one point through the experiment's door: figures, an answer to show, what is refused."""

import subprocess
import sys

import pytest
from one_trial import context_in

from lab.core.grpo.params import Params as Training
from lab.core.grpo.trial import trial as train
from lab.core.power_sampling.params import Params
from lab.core.power_sampling.samplers import SAMPLERS
from lab.core.power_sampling.trial import trial
from lab.core.trial import Refused

TINY = {
    "structure": "z2", "base_depth": (1, 2), "train_depth": (1, 3), "harder_depth": (4, 5), "d_model": 16, "layers": 1,
    "heads": 2, "kv_heads": 1, "d_ff": 16, "base_steps": 60, "base_batch": 32, "demonstrations": 500, "steps": 4,
    "num_prompts": 4, "num_generations": 4, "eval_every": 2, "eval_problems": 4, "eval_samples": 4,
    "n": 3, "mcmc_steps": 2, "threshold": 1e-3,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("power")


def run(folder, **changes):
    context = context_in(folder)
    return trial(Params(**TINY | changes), context), context


def test_parameters_are_read_without_torch():
    line = "import sys, lab.core.power_sampling.trial; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", line], check=False).returncode == 0


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_answers_twice_alike(folder, sampler):
    found, context = run(folder, sampler=sampler, alpha=2.0)
    assert {"pass@1", "pass@2", "pass@4", "think_rate", "length", "spent", "training"} <= set(found)
    assert (
        0 <= found["pass@1"] <= found["pass@2"] <= found["pass@4"] <= 1 and found["length"] <= found["spent"]
    )
    assert ("uncovered" in found) == (sampler == "power")
    assert ("acceptance" in found) == (sampler == "power-mcmc")
    assert (found["training"] > 0) == (sampler == "grpo")
    assert any(text.endswith(("  right", "  wrong")) for _, text in context.samples)
    assert run(folder, sampler=sampler, alpha=2.0)[0] == found


def test_another_answers_the_same_problem(folder):
    shown = [
        run(folder, sampler=sampler)[1].samples[-1][1].split()[0] for sampler in ("sample", "power", "vote")
    ]
    assert len(set(shown)) == 1


def test_at_a_power_of_one_it_is_the_base_model(folder):
    """Temperature 1 to the last figure; enumerated within the bound, and what 4 × 400 samples err."""
    short = {"alpha": 1.0, "max_completion_length": 4}
    sampled, _ = run(folder, sampler="sample", eval_samples=400, **short)
    assert run(folder, sampler="temperature", eval_samples=400, **short)[0] == sampled
    exact, _ = run(folder, sampler="power", threshold=1e-7, **short)
    assert exact["uncovered"] < 0.01
    for name in ("pass@1", "pass@4", "think_rate"):
        assert exact[name] == pytest.approx(sampled[name], abs=0.04)
    assert exact["length"] == pytest.approx(sampled["length"], rel=0.03)


def test_many_draws_and_the_chain_come_to_the_enumeration(folder):
    exact, _ = run(folder, sampler="power", alpha=2.0, threshold=1e-5)
    drawn, _ = run(folder, sampler="power-of-n", alpha=2.0, n=64, eval_samples=100)
    options = {"blocks": 1, "mcmc_steps": 20, "proposal": 1.0, "eval_samples": 100}
    chain, _ = run(folder, sampler="power-mcmc", alpha=2.0, **options)
    assert exact["uncovered"] < 1e-3
    for found in (drawn, chain):
        for name in ("pass@1", "think_rate"):
            assert found[name] == pytest.approx(exact[name], abs=0.08)
        assert found["length"] == pytest.approx(exact["length"], rel=0.1)
    base, _ = run(folder, sampler="sample", eval_samples=100)
    assert abs(base["length"] / exact["length"] - 1) > 0.1, "the base model would pass as well"


def test_draws_of_one_answer_are_counted_and_shared_by_the_samplers_that_choose(folder):
    spent = {name: run(folder, sampler=name)[0]["spent"] for name in ("power-of-n", "best-of-n", "vote")}
    assert len(set(spent.values())) == 1
    one = {name: run(folder, sampler=name, n=1)[0] for name in ("power-of-n", "best-of-n", "vote", "sample")}
    assert one["power-of-n"] == one["best-of-n"] == one["vote"] == one["sample"]


def test_the_policy_is_the_one_that_grpo_left(folder):
    (folder / "grpo").mkdir()
    training = {name: value for name, value in TINY.items() if name in Training.model_fields}
    context = context_in(folder / "grpo")
    left = train(Training(**training), context)
    context = context_in(folder / "grpo")
    steps = []
    context.progress = lambda done, of, what="": steps.append(what)
    found = trial(Params(**TINY, sampler="grpo"), context)
    assert not steps, "nothing was trained"
    assert found["pass@1"] == left["eval/pass@1"] and found["length"] == left["eval/length"]
    assert found["spent"] == pytest.approx(found["length"] + found["training"] / 1000)


def test_what_cannot_be_enumerated_is_refused(folder):
    message = r"has more than 5 prefixes of up to \d tokens that are likelier than 0.001: .*take power-mcmc"
    with pytest.raises(Refused, match=message):
        run(folder, sampler="power", most_prefixes=5)


def test_a_power_that_no_tree_bounds_is_refused_and_the_chain_takes_it(folder):
    with pytest.raises(Refused, match=r"alpha is 0.5; below 1 nothing bounds .*take power-mcmc"):
        run(folder, sampler="power", alpha=0.5)
    assert run(folder, sampler="power-mcmc", alpha=0.5)[0]["pass@1"] >= 0


def test_nobody_votes_for_nothing():
    from lab.core.grpo.accuracy_at_k import winners

    assert winners([None, None]) == [] and winners(["3", None, "4", "3", "4"]) == ["3", "4"]


def test_a_threshold_above_all_answers_of_a_problem_is_refused(folder):
    with pytest.raises(Refused, match="no completion of prompt .* lower threshold"):
        run(folder, sampler="power", alpha=2.0, threshold=0.999)
