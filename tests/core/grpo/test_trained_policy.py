"""The policy that a training ends with: the trial's own, or one trained for whoever asks first."""

import pytest
import torch
from one_trial import Stop, context_in

from lab.core.grpo.params import Params
from lab.core.grpo.trained_policy import trained_policy
from lab.core.grpo.trial import trial

TINY = {
    "structure": "z2", "base_depth": (1, 2), "train_depth": (1, 3), "harder_depth": (4, 5), "d_model": 16, "layers": 1,
    "heads": 2, "kv_heads": 1, "d_ff": 16, "base_steps": 20, "base_batch": 16, "demonstrations": 200, "steps": 4,
    "num_prompts": 4, "num_generations": 4, "eval_every": 2, "eval_problems": 4, "eval_samples": 4,
}  # fmt: skip
OWN = "def mine(problems, completions):\n    return [float(len(text) % 3) for text in completions]\n"


def folder(tmp_path, name):
    (tmp_path / name).mkdir(exist_ok=True)
    return tmp_path / name


def policies_in(folder):
    return list((folder / "cache").glob("*/policy.json"))


def weights(trained):
    return torch.cat([weight.flatten() for weight in trained.model.state_dict().values()])


@pytest.mark.parametrize("changes", [{}, {"algorithm": "sft", "sft_shown": "full"}, {"beta": 0.04}])
def test_it_is_the_trials_own_bit_for_bit(tmp_path, changes):
    params = Params(**TINY, **changes)
    final = trial(params, context_in(folder(tmp_path, "a")))
    context = context_in(folder(tmp_path, "a"))
    kept = trained_policy(params, context)
    assert not context.records and len(policies_in(tmp_path / "a")) == 1, "nothing was trained"
    fresh = trained_policy(params, context_in(folder(tmp_path, "b")))
    assert torch.equal(weights(kept), weights(fresh))
    assert kept.facts == fresh.facts
    assert kept.facts.tokens == pytest.approx(4 * final["train/num_tokens"])


def test_a_killed_trial_keeps_the_same_policy(tmp_path):
    params = Params(**TINY)
    with pytest.raises(Stop):
        trial(params, context_in(folder(tmp_path, "killed"), stop_at=3))
    assert not policies_in(tmp_path / "killed")
    trial(params, context_in(tmp_path / "killed"))
    killed = trained_policy(params, context_in(tmp_path / "killed"))
    fresh = trained_policy(params, context_in(folder(tmp_path, "b")))
    assert torch.equal(weights(killed), weights(fresh)) and killed.facts == fresh.facts


def test_it_is_another_for_what_the_training_depends_on_and_the_same_for_other_evaluations(tmp_path):
    def policies(seed=0, **changes):
        trained_policy(Params(**TINY | changes), context_in(tmp_path, seed=seed))
        return len(policies_in(tmp_path))

    assert policies() == policies(eval_problems=8, eval_every=1) == policies(reward="1*accuracy+format") == 1
    assert policies(reward="accuracy") == 2
    assert policies(learning_rate=1e-3) == 3
    assert policies(seed=1) == 4
    assert policies(long=0.5) == 5
    assert policies(train_depth=(2, 3)) == 6


def test_a_users_reward_counts_by_what_its_file_holds(tmp_path):
    def policies(name, text):
        file = folder(tmp_path, name) / "rewards.py"
        file.write_text(text)
        trained_policy(Params(**TINY | {"reward": f"{file}:mine"}), context_in(tmp_path))
        return len(policies_in(tmp_path))

    assert policies("a", OWN) == policies("b", OWN) == 1
    assert policies("a", OWN.replace("% 3", "% 2")) == 2
