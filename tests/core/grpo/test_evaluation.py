"""Metrics of an evaluation, against counts by hand and against another way to compute them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lab.core.grpo.evaluation import coverage, evaluate, languages
from lab.core.grpo.rollout import Rollout
from lab.core.grpo.tasks import Mixture, task
from lab.core.lm.scoring import joined, log_probs


def test_coverage_by_hand():
    # One and two of four are right: 1 - C(3,2)/C(4,2) = 1/2, and 1 - 1/6.
    metrics = coverage(np.array([[1, 0, 0, 0], [0, 1, 1, 0]], dtype=bool))
    assert metrics == pytest.approx(
        {
            "eval/pass@1": 3 / 8,
            "eval/pass@2": (1 / 2 + 5 / 6) / 2,
            "eval/pass@4": 1,
            "eval/doubling": (1 / 2 + 5 / 6) / 2 - 3 / 8,
        }
    )


def test_coverage_where_doubling_does_not_end_at_all_samples():
    metrics = coverage(np.array([[1, 0, 0, 0, 0, 0]], dtype=bool))
    # One of six: k/6.
    assert metrics == pytest.approx(
        {**{f"eval/pass@{k}": k / 6 for k in (1, 2, 4, 6)}, "eval/doubling": 1 / 6}
    )
    assert coverage(np.array([[True], [False]])) == {"eval/pass@1": 0.5}


def test_languages_by_hand():
    answer = "</think><answer>0</answer><eos>"
    texts = [
        "<think>1+2=3,3+4=7" + answer,  # all six digits
        "<think>B+C=D" + answer,  # none
        "<think>1+2=3,D+E=H" + answer,  # half, mixed
        "<think>1+2=3,3+4=7,7+1=8,I+A=I" + answer,  # nine of twelve, mixed
        "<think>+=," + answer,  # no digits
        "<answer>5</answer><eos>",  # no trace
        "<think>B+C=D<answer>3</answer><eos>",  # not closed
    ]
    metrics = languages(texts, ("0123456789", "ABCDEFGHIJ"))
    assert metrics == pytest.approx({"eval/language": (1 + 0 + 1 / 2 + 3 / 4) / 4, "eval/mixed": 2 / 4})
    assert languages(texts[4:], ("0123456789", "ABCDEFGHIJ")) == {}


def test_only_a_task_of_two_alphabets_has_languages(make_model, tiny_task):
    options = {"structure": "z2", "base": (1, 2), "train": (1, 3), "harder": (4, 5)}
    for one in (tiny_task, task("chain", **options, alphabet="ox")):
        problems = one.problems(np.random.default_rng(0), 4, "test")
        metrics, sampled = evaluate(
            make_model(task=one), one, problems, samples=64, max_completion_length=12, seed=0
        )
        expected = languages(sampled.texts, one.alphabets) if one.alphabets else {}
        assert len(expected) == len(one.alphabets)
        assert {
            name: metrics[name] for name in ("eval/language", "eval/mixed") if name in metrics
        } == expected


def test_entropy_and_kl_by_the_full_forward_pass(make_model, tiny_task):
    model, other = make_model(), make_model(seed=1)
    problems = tiny_task.problems(np.random.default_rng(0), 12, "test")
    options = {"samples": 8, "max_completion_length": 12, "seed": 5, "temperature": 0.7}
    metrics, sampled = evaluate(model, tiny_task, problems, reference=other, **options)
    c = sampled.completions
    sequences = joined(sampled.prompts, c.ids, c.lengths, tiny_task.vocabulary.pad)
    with torch.no_grad():
        (logp, entropy), (ref_logp, _) = (log_probs(each, sequences, 0.7) for each in (model, other))
    tokens = float(c.mask.sum())
    assert metrics["eval/entropy"] == pytest.approx(float(entropy.sum()) / tokens, abs=1e-5)
    k3 = (ref_logp - logp).exp() - 1 - (ref_logp - logp)
    assert metrics["eval/kl"] == pytest.approx(float(k3.sum()) / tokens, rel=1e-4)
    assert metrics["eval/kl"] > 0.05
    itself, _ = evaluate(model, tiny_task, problems, reference=model, **options)
    assert itself["eval/kl"] == pytest.approx(0, abs=1e-5)
    assert "eval/kl" not in evaluate(model, tiny_task, problems, **options)[0]


def test_shares_and_lengths_by_the_samples(make_model, tiny_task):
    """A verifier that takes what begins with a certain token: enough are right, and these are longer or shorter."""
    chosen = replace(tiny_task, is_right=lambda problem, text: text.startswith(("0", "1", "=")))
    problems = chosen.problems(np.random.default_rng(0), 12, "test")
    metrics, sampled = evaluate(make_model(), chosen, problems, samples=8, max_completion_length=12, seed=5)
    right = np.array([text.startswith(("0", "1", "=")) for text in sampled.texts])
    lengths = np.array([row.sum().item() for row in sampled.completions.mask])
    assert 0 < right.mean() < 1 and lengths[right].mean() != lengths[~right].mean()
    assert metrics["eval/pass@1"] == pytest.approx(right.mean())
    assert metrics["eval/length"] == pytest.approx(lengths.mean())
    assert metrics["eval/length_correct"] == pytest.approx(lengths[right].mean())
    assert metrics["eval/length_incorrect"] == pytest.approx(lengths[~right].mean())


@pytest.mark.parametrize("tagged", [True, False])
def test_writing_the_answer_twice_is_not_thinking(tagged):
    """Untagged short answers do; every long one has a step with an equals sign."""
    one = task("chain", structure="z10")
    mixture = Mixture(long=0.5, slips=0.5, tagged=tagged)
    texts = [text for _, text in one.demonstrations(np.random.default_rng(0), 400, mixture)]
    sampled = Rollout([], [], None, texts, np.zeros(400, dtype=bool))
    assert sampled.thinks.tolist() == ["=" in text for text in texts]
    assert 0.4 < sampled.thinks.mean() < 0.6
