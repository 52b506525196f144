"""A student and a teacher of Hugging Face's. Skipped without transformers."""

import pytest
from one_trial import context_in
from pydantic import ValidationError

from lab.core.r1_distill.params import Params
from lab.core.r1_distill.trial import trial
from lab.core.trial import Refused

pytest.importorskip("transformers")

TINY = {
    "structure": "z2", "base_depth": (1, 2), "train_depth": (1, 3), "harder_depth": (4, 5), "num_prompts": 2,
    "num_generations": 4, "eval_every": 2, "eval_problems": 2, "eval_samples": 2, "many": 2, "tokens": 300,
    "max_completion_length": 30, "also": "reverse",
}  # fmt: skip


@pytest.fixture
def pair(tmp_path, save_llama):
    return {
        "model": {"hf": save_llama(tmp_path / "student")},
        "teacher": {"hf": save_llama(tmp_path / "teacher")},
    }


@pytest.mark.parametrize("method", ["on-policy", "on-policy-token", "kd"])
def test_both_are_given(tmp_path, pair, method):
    """A student that is its teacher has nothing to learn from what it says of own samples."""
    context = context_in(tmp_path)
    if method == "kd":  # it has no right answer to show, and says so
        with pytest.raises(Refused, match="none of 80 answers of the teacher"):
            trial(Params(**TINY | pair, method=method), context)
        return
    final = trial(Params(**TINY | pair, method=method, imitation_learning_rate=1e-2), context)
    steps = [metrics for _, metrics in context.records if "grad_norm" in metrics]
    assert final["tokens"] >= 300 and len(steps) == final["steps"] and final["gflop"] > 0
    assert final["eval/kl_to_teacher"] == pytest.approx(0, abs=1e-5)
    assert "forgotten" not in final


def test_other_tokens_are_refused_before_anything_is_trained(tmp_path, save_llama, pair):
    class Nearby:
        def path(self, path):
            return path

        def load(self, reference):
            raise AssertionError

    other = {"teacher": {"hf": save_llama(tmp_path / "other", words="0123456789+-*=,;")}}
    with pytest.raises(ValidationError, match="the student has a vocabulary of"):
        Params.model_validate(TINY | pair | other | {"method": "on-policy"}, context=Nearby())
