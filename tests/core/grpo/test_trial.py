"""One training through the experiment's door: base, reward, evaluations, checkpoints, and what is refused."""

import pickle
import subprocess
import sys
from types import SimpleNamespace

import pytest

from lab.core.grpo.base import NoBase
from lab.core.grpo.trial import Params, trial

TINY = {
    "structure": "z2", "base_depth": (1, 2), "train_depth": (1, 3), "harder_depth": (4, 5), "d_model": 16, "layers": 1,
    "heads": 2, "kv_heads": 1, "d_ff": 16, "base_steps": 40, "base_batch": 32, "demonstrations": 500, "steps": 4,
    "num_prompts": 4, "num_generations": 4, "eval_every": 2, "eval_problems": 4, "eval_samples": 4,
}  # fmt: skip


class Stop(Exception):
    pass


def context_in(folder, seed=0, stop_at=None):
    """A context that keeps its state in `folder`; it raises at step `stop_at`, as a killed process would end there."""
    (folder / "cache").mkdir(exist_ok=True)
    records, samples = [], []

    def record(step=None, **metrics):
        records.append((step, metrics))
        if step == stop_at and "grad_norm" in metrics:
            raise Stop

    def cached(key, make):
        made = folder / "cache" / str(abs(hash(key)))
        if not made.exists():
            made.mkdir()
            make(made)
        return made

    state = folder / "state"
    return SimpleNamespace(
        variant="v", seed=seed, device="cpu", threads=1, folder=folder, record=record, cached=cached, records=records,
        samples=samples, progress=lambda done, of: None, sample=lambda step, text: samples.append((step, text)),
        save=lambda x: state.write_bytes(pickle.dumps(x)),
        restore=lambda: pickle.loads(state.read_bytes()) if state.exists() else None,
    )  # fmt: skip


def test_parameters_are_read_without_torch():
    line = "import sys, lab.core.grpo.trial; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", line], check=False).returncode == 0


def test_a_training_tells_all_that_an_experiment_needs(tmp_path):
    context = context_in(tmp_path)
    final = trial(Params(**TINY), context)
    assert {
        "eval/pass@1",
        "eval/pass@4",
        "eval/maj@4",
        "eval/acc_greedy",
        "eval/length",
        "harder/pass@1",
    } <= set(final)
    assert final["gain/pass@1"] == pytest.approx(final["eval/pass@1"] - final["base/pass@1"])
    steps = [step for step, metrics in context.records if "eval/pass@1" in metrics]
    assert steps == [0, 2, 4]
    assert any("right" in text or "wrong" in text for _, text in context.samples)
    assert any("-> advantages" in text for _, text in context.samples)


@pytest.mark.parametrize("algorithm", ["grpo", "sft"])
def test_a_killed_training_goes_on_to_the_same_figures(tmp_path, algorithm):
    params = Params(**TINY, algorithm=algorithm)
    for name in ("through", "killed"):
        (tmp_path / name).mkdir()
    expected = trial(params, context_in(tmp_path / "through"))
    with pytest.raises(Stop):
        trial(params, context_in(tmp_path / "killed", stop_at=3))
    assert trial(params, context_in(tmp_path / "killed")) == expected


@pytest.mark.parametrize("algorithm", ["rft", "sft"])
def test_controls_go_through_the_same_evaluations_from_the_same_base(tmp_path, algorithm):
    context = context_in(tmp_path)
    final = trial(Params(**TINY, algorithm=algorithm, sft_tokens=300), context)
    steps = [metrics for _, metrics in context.records if "grad_norm" in metrics]
    assert [step for step, metrics in context.records if "eval/pass@1" in metrics] == [0, 2, 4]
    assert final["base/kl"] == pytest.approx(0, abs=1e-5) and final["eval/kl"] > 1e-4
    for name in ("num_tokens", "grad_norm"):
        assert final[f"train/{name}"] == pytest.approx(sum(step[name] for step in steps) / 4)
    assert not any("time" in name for name in final)
    (tmp_path / "state").unlink()
    rewarded = trial(Params(**TINY), context_in(tmp_path))
    assert {name: x for name, x in final.items() if name.startswith("base/")} == {
        name: x for name, x in rewarded.items() if name.startswith("base/")
    }


def test_variants_of_a_seed_share_their_base_and_seeds_do_not(tmp_path):
    figures = {}
    for seed in (0, 1):
        for reward in ("accuracy", "random"):
            final = trial(Params(**TINY, reward=reward), context_in(tmp_path, seed=seed))
            (tmp_path / "state").unlink()
            figures[seed, reward] = {name: x for name, x in final.items() if name.startswith("base/")}
    assert figures[0, "accuracy"] == figures[0, "random"] != figures[1, "accuracy"]
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.parametrize(
    "changes, error, message",
    [
        ({"reward": "acuracy"}, ValueError, "no reward 'acuracy'. Did you mean accuracy?"),
        ({"reward": "much*accuracy"}, ValueError, "the weight of accuracy is 'much', which is no number"),
        ({"preset": "r1"}, ValueError, "no preset r1. Did you mean r1-zero?"),
        (
            {"algorithm": "sft", "beta": 0.1},
            ValueError,
            "beta is 0.1, but sft is held to no reference: make it 0",
        ),
        ({"algorithm": "rft", "reward": "accuracy+length"}, ValueError, "of length there is no such"),
        ({"task": "chian"}, ValueError, "no task chian. Did you mean chain?"),
        (
            {"window": (0.99, 1.0), "attempts": 2},
            NoBase,
            r"right when sampled: 0\.\d\d, 0\.\d\d; the window is 0.99 to 1",
        ),
    ],
)
def test_what_cannot_be_is_said_before_any_reward_is_spent(tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        trial(Params(**TINY | changes), context_in(tmp_path))


def test_weights_and_presets_come_together(tmp_path):
    context = context_in(tmp_path)
    trial(Params(**TINY | {"preset": "r1-zero", "reward": "accuracy+0.2*format", "steps": 1}), context)
    step = next(metrics for _, metrics in context.records if "reward" in metrics)
    mean = step["rewards/accuracy/mean"] + 0.2 * step["rewards/format/mean"]
    assert step["reward"] == pytest.approx(mean, abs=1e-6) and step["learning_rate"] == 3e-6
