"""One training through the experiment's door: base, reward, evaluations, checkpoints, and what is refused."""

import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
from one_trial import Stop, context_in

from lab.core.grpo.base_model import NoBaseModel
from lab.core.grpo.params import Params, base_model_of, grpo_config_of, task_of, with_sft_demonstrations
from lab.core.grpo.trial import trial

TINY = {
    "structure": "z2", "base_depth": (1, 2), "train_depth": (1, 3), "harder_depth": (4, 5), "d_model": 16, "layers": 1,
    "heads": 2, "kv_heads": 1, "d_ff": 16, "base_steps": 40, "base_batch": 32, "demonstrations": 500, "steps": 4,
    "num_prompts": 4, "num_generations": 4, "eval_every": 2, "eval_problems": 4, "eval_samples": 4,
}  # fmt: skip


def bases_in(folder):
    return list((folder / "cache").glob("*/facts.json"))


def test_parameters_are_read_without_torch():
    line = "import sys, lab.core.grpo.trial; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", line], check=False).returncode == 0


def test_a_training_returns_and_records_what_an_experiment_needs(tmp_path):
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
    for name in ("length", "pass@1"):
        gain = final[f"harder/{name}"] - final[f"base/harder/{name}"]
        assert final[f"gain/harder/{name}"] == pytest.approx(gain)
    assert final["base/doubling"] == pytest.approx(
        min(final["base/pass@2"] - final["base/pass@1"], final["base/pass@4"] - final["base/pass@2"])
    )
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
    assert len(bases_in(tmp_path)) == 2


def test_a_failed_search_for_a_base_model_is_cached(tmp_path):
    changes = TINY | {"window": (0.99, 1.0), "attempts": 2}
    errors = []
    for reward in ("accuracy", "random"):
        context = context_in(tmp_path)
        with pytest.raises(NoBaseModel) as error:
            trial(Params(**changes, reward=reward), context)
        errors.append((str(error.value), len(context.samples)))
    (first, samples), (second, again) = errors
    assert first == second and samples > again == 1, "the question, and no answers of a base model"


OWN = """
from lab.core.grpo.tasks import task

def parity(base, train, harder):
    return task("chain", structure="z2", base=base, train=train, harder=harder)
"""


def test_a_users_task_is_trained_on_like_a_built_in_one(tmp_path):
    figures = {}
    for name in ("ours", "own"):
        (tmp_path / name).mkdir()
        file = tmp_path / name / "my_task.py"
        file.write_text(OWN)
        chosen = {"task": f"{file}:parity"} if name == "own" else {}
        figures[name] = trial(Params(**TINY | chosen), context_in(tmp_path / name))
    assert figures["ours"] == figures["own"]


def test_the_base_model_changes_with_the_code_of_a_users_task(tmp_path):
    def bases(folder, text):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "my_task.py").write_text(text)
        trial(
            Params(**TINY | {"task": f"{tmp_path / folder}/my_task.py:parity", "steps": 1}),
            context_in(tmp_path),
        )
        (tmp_path / "state").unlink()
        return len(bases_in(tmp_path))

    beside = OWN.replace('"z2"', 'Path(__file__).with_name("which").read_text()') + "from pathlib import Path"
    assert bases("a", OWN) == bases("b", OWN) == 1  # the same, wherever it lies
    assert bases("a", OWN + "# changed") == 2
    (tmp_path / "a" / "which").write_text("z2")
    assert bases("a", beside) == 3
    (tmp_path / "a" / "which").write_text("z10")
    assert bases("a", beside) == 4


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
        ({"algorithm": "rft", "reward": "accuracy+length"}, ValueError, r"with 1\*length that is not known"),
        ({"algorithm": "rft", "reward": "-1*accuracy"}, ValueError, r"with -1\*accuracy that is not known"),
        ({"algorithm": "rft", "reward": "./f.py:g"}, ValueError, r"with 1\*./f.py:g that is not known"),
        ({"algorithm": "sft", "model": {"hf": "x"}}, ValueError, "sft is for bases of ours"),
        ({"task": "./t.py"}, ValueError, r"./t.py is a file; name the function in it as ./t.py:function"),
        ({"reward": "accuracy+./r.py"}, ValueError, r"./r.py is a file; name the function in it as ./r.py:f"),
        ({"task": "chian"}, ValueError, "no task chian. Did you mean chain?"),
        ({"alphabet": "o"}, ValueError, "alphabet is o; z2 needs 2 letters, all different"),
        ({"alphabet": "ox", "reward": "langage"}, ValueError, "no reward 'langage'. Did you mean language?"),
        (
            {"window": (0.99, 1.0), "attempts": 2},
            NoBaseModel,
            r"right when sampled: 0\.\d\d, 0\.\d\d; the window is 0.99 to 1",
        ),
    ],
)
def test_mistakes_are_refused_before_grpo_begins(tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        trial(Params(**TINY | changes), context_in(tmp_path))


def test_two_alphabets_and_the_reward_for_one(tmp_path):
    context = context_in(tmp_path)
    shares = {"alphabet": "ox", "long": 1.0, "second": 0.5, "mixed": 0.2, "base_steps": 120, "d_model": 32}
    final = trial(Params(**TINY | shares, reward="accuracy+format+language"), context)
    assert 0 < final["base/language"] < 1 and 0 <= final["base/mixed"] < 1
    assert final["gain/language"] == pytest.approx(final["eval/language"] - final["base/language"])
    step = next(metrics for _, metrics in context.records if "reward" in metrics)
    assert 0 < step["rewards/language/mean"] < 1
    assert step["reward"] == pytest.approx(
        sum(step[f"rewards/{name}/mean"] for name in ("accuracy", "format", "language")), abs=1e-6
    )


@pytest.mark.parametrize("task", ["chain", "reverse", "gym/chain_sum"])
@pytest.mark.parametrize(
    "change, name",
    [
        ({"second": 0.5}, "second"),
        ({"mixed": 0.5}, "mixed"),
        ({"second_noise": 0.0}, "second_noise"),
        ({"reward": "accuracy+language"}, "the reward language"),
    ],
)
def test_two_alphabets_need_a_second(task, change, name):
    with pytest.raises(ValueError, match=f"{name} is for traces in two alphabets: task chain with"):
        Params(task=task, **change)


def test_every_share_of_the_mixture_is_a_parameter():
    shares = {
        "long": 0.11, "noise": 0.12, "slips": 0.13, "leaps": 0.14, "tagged": False, "direct_noise": 0.15, "mixed": 0.16,
        "second": 0.17, "second_noise": 0.18,
    }  # fmt: skip
    params = Params(**shares, alphabet="ABCDEFGHIJ")
    assert asdict(base_model_of(params, task_of(params, None)).mixture) == shares


def test_weights_and_presets_combine(tmp_path):
    context = context_in(tmp_path)
    trial(Params(**TINY | {"preset": "r1-zero", "reward": "accuracy+0.2*format", "steps": 1}), context)
    step = next(metrics for _, metrics in context.records if "reward" in metrics)
    mean = step["rewards/accuracy/mean"] + 0.2 * step["rewards/format/mean"]
    assert step["reward"] == pytest.approx(mean, abs=1e-6) and step["learning_rate"] == 3e-6


def test_sft_may_learn_from_right_and_full_traces_of_the_training_depths(tmp_path):
    """And else those of the base: its depths, its mixture. As many tokens in both."""
    shares = {
        "long": 0.3,
        "noise": 0.5,
        "slips": 0.5,
        "leaps": 0.5,
        "direct_noise": 1.0,
        "base_depth": (1, 2),
        "train_depth": (3, 4),
    }
    shown = {}
    for kind in ("base", "full"):
        params = Params(**TINY | shares, algorithm="sft", sft_shown=kind, sft_tokens=2000)
        task = task_of(params, None)
        settings = grpo_config_of(params, task.longest_completion)
        rng = np.random.default_rng(0)
        shown[kind] = with_sft_demonstrations(params, task, None).demonstrations(rng, 300, settings.mixture)
        final = trial(params, context_in(tmp_path))
        (tmp_path / "state").unlink()
        assert 2000 <= final["train/num_tokens"] < 2000 + task.longest_completion
    for problem, text in shown["full"]:
        steps = text.removeprefix("<think>").partition("</think>")[0].split(",")
        assert problem.difficulty in (3, 4) and len(steps) == problem.difficulty
        assert text.endswith(f"</think><answer>{problem.answer}</answer><eos>") and task.is_right(
            problem, text
        )
    assert {problem.difficulty for problem, _ in shown["full"]} == {3, 4}
    assert {problem.difficulty for problem, _ in shown["base"]} == {1, 2}
    right = np.mean([task.is_right(problem, text) for problem, text in shown["base"]])
    think = np.mean(["=" in text for _, text in shown["base"]])
    assert 0.2 < think < 0.4 and right < 0.7


def test_problems_that_were_drawn_twice_count_once(tmp_path):
    measured = trial(Params(**TINY | {"eval_problems": 64, "steps": 1}), context_in(tmp_path))
    prompts = {
        p.prompt for p in task_of(Params(**TINY), None).problems(np.random.default_rng(1), 2000, "test")
    }
    assert 1 < measured["distinct_problems"] <= len(prompts) < 64
    (tmp_path / "state").unlink()
    many = trial(
        Params(**TINY | {"structure": "z10", "train_depth": (6, 6), "steps": 1}), context_in(tmp_path)
    )
    assert many["distinct_problems"] == 4


def test_a_base_model_in_two_parts_goes_on_from_one_first_model_for_all_shares(tmp_path):
    import torch

    from lab.core.grpo.start import start

    context = context_in(tmp_path)
    two_parts = TINY | {"first_steps": 40, "base_steps": 1}
    bases = {}
    for long in (0.1, 0.9):
        params = Params(**two_parts, long=long)
        bases[long] = start(params, task_of(params, None), context).model.state_dict()
    assert len(bases_in(tmp_path)) == 3
    alone = Params(**TINY | {"base_steps": 40, "long": 0.8})
    first = start(alone, task_of(alone, None), context).model.state_dict()
    assert len(bases_in(tmp_path)) == 3  # the first part is a base model like any other
    step = 0.01  # no weight goes farther in one step than the largest learning rate
    for base in bases.values():
        assert 0 < max(float((base[name] - first[name]).abs().max()) for name in first) < 2 * step
    assert any(not torch.equal(bases[0.1][name], bases[0.9][name]) for name in first)


def test_a_first_part_outside_its_window_is_refused(tmp_path):
    params = Params(**TINY, first_steps=1, first_window=(0.99, 1.0), attempts=2)
    with pytest.raises(NoBaseModel, match="right when sampled"):
        trial(params, context_in(tmp_path))
