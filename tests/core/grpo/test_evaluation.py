"""Figures of an evaluation beside the same ones by another way."""

import numpy as np
import pytest
import torch

from lab.core.grpo.evaluation import evaluate
from lab.core.grpo.rollout import Rollout
from lab.core.grpo.tasks import Mixture, task
from lab.core.lm.scoring import joined, log_probs


def test_entropy_and_divergence_by_the_full_forward_pass(make_model, tiny_task):
    model, other = make_model(), make_model(seed=1)
    problems = tiny_task.problems(np.random.default_rng(0), 12, "test")
    options = {"samples": 8, "max_completion_length": 12, "seed": 5, "temperature": 0.7}
    figures, made = evaluate(model, tiny_task, problems, reference=other, **options)
    c = made.completions
    sequences = joined(made.prompts, c.ids, c.lengths, tiny_task.vocabulary.pad)
    with torch.no_grad():
        (logp, entropy), (ref_logp, _) = (log_probs(each, sequences, 0.7) for each in (model, other))
    tokens = float(c.mask.sum())
    assert figures["eval/entropy"] == pytest.approx(float(entropy.sum()) / tokens, abs=1e-5)
    k3 = (ref_logp - logp).exp() - 1 - (ref_logp - logp)
    assert figures["eval/kl"] == pytest.approx(float(k3.sum()) / tokens, rel=1e-4)
    assert figures["eval/kl"] > 0.05
    itself, _ = evaluate(model, tiny_task, problems, reference=model, **options)
    assert itself["eval/kl"] == pytest.approx(0, abs=1e-5)
    assert "eval/kl" not in evaluate(model, tiny_task, problems, **options)[0]


@pytest.mark.parametrize("tagged", [True, False])
def test_saying_the_answer_twice_is_no_thinking(tagged):
    """Untagged short answers do; every long one has a step with an equals sign."""
    one = task("chain", structure="z10")
    mixture = Mixture(long=0.5, slips=0.5, tagged=tagged)
    texts = [text for _, text in one.demonstrations(np.random.default_rng(0), 400, mixture)]
    made = Rollout([], [], None, texts, np.zeros(400, dtype=bool))
    assert made.thinks.tolist() == ["=" in text for text in texts]
    assert 0.4 < made.thinks.mean() < 0.6
