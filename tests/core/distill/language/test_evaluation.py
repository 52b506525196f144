"""Figures of a model: against plain loops, against a teacher that knows, and in one unit for all views."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lab.core.distill.language import (
    VIEWS,
    Language,
    Oracle,
    Truth,
    evaluate,
    evaluation,
    figures,
    invalid_words,
    view,
    word_hmm,
)
from lab.core.lm.generation import generate
from lab.core.lm.model import Config, Transformer
from lab.core.lm.training import Recipe, examples, train


def by_hand(truth, ids, logits):
    """The definitions, one token after the other, in Python's floats."""
    dense = truth.read(ids).dense()
    sums = {"kl": 0.0, "reverse_kl": 0.0, "entropy": 0.0, "nll": 0.0, "invalid_mass": 0.0}
    tokens, characters, bins = 0, 0, {}
    for row in range(len(ids)):
        for at in range(ids.shape[1] - 1):
            target = int(ids[row, at + 1])
            if target == truth.view.pad:
                continue
            p = [math.exp(x) for x in dense[row, at].tolist()]
            top = max(logits[row, at].tolist())
            weights = [math.exp(x - top) for x in logits[row, at].tolist()]
            q = [w / sum(weights) for w in weights]
            valid = sum(y for x, y in zip(p, q, strict=True) if x > 0)
            for x, y in zip(p, q, strict=True):
                if x > 0:
                    sums["kl"] += x * math.log(x / y)
                    sums["entropy"] -= x * math.log(x)
                    sums["reverse_kl"] += y / valid * math.log(y / valid / x)
                else:
                    sums["invalid_mass"] += y
            sums["nll"] -= math.log(q[target])
            best = max(range(len(q)), key=q.__getitem__)
            n, confidence, right = bins.get(math.ceil(q[best] * 15), (0, 0.0, 0.0))
            bins[math.ceil(q[best] * 15)] = n + 1, confidence + q[best], right + p[best]
            tokens += 1
            characters += len(truth.view.tokens[target])
    mean = {name: total / tokens for name, total in sums.items()}
    mean["cross_entropy"] = mean["kl"] + mean["entropy"]
    mean |= {
        f"{name}_bits": x * tokens / characters / math.log(2)
        for name, x in mean.items()
        if name != "invalid_mass"
    }
    mean["calibration_error"] = (
        sum(abs(confidence - right) for _, confidence, right in bins.values()) / tokens
    )
    mean["over_confidence"] = sum(confidence - right for _, confidence, right in bins.values()) / tokens
    return mean


@pytest.mark.parametrize("name", VIEWS)
def test_figures_are_their_definitions(truths, texts, name):
    truth = truths[name]
    ids = truth.view.rows(texts[:5])
    logits = 2 * torch.randn(*ids.shape, truth.view.size, generator=torch.Generator().manual_seed(0))
    wanted = by_hand(truth, ids, logits.double())
    # What follows the end, and the token that nobody has seen, must not count.
    lengths = (ids != truth.view.pad).sum(-1)
    for row, length in enumerate(lengths.tolist()):
        logits[row, length - 1 :] = math.nan
    found = figures(truth.read(ids), logits).measures()
    assert found == pytest.approx(wanted, rel=1e-9)


def test_figures_add_up_over_batches_and_blocks(truths, texts, monkeypatch):
    truth = truths["bpe"]
    ids = truth.view.rows(texts)
    table = torch.randn(truth.view.size, truth.view.size, generator=torch.Generator().manual_seed(0))
    whole = evaluate(truth, ids, lambda ids: table[ids])
    monkeypatch.setattr(evaluation, "AT_ONCE", 7 * truth.view.size)
    for batch in (2, 5):
        # A document of nothing has no token that counts, so it never stands alone in a batch here.
        parts = evaluate(truth, ids, lambda ids: table[ids], batch=batch)
        assert parts.measures() == pytest.approx(whole.measures(), rel=1e-12)
        assert (parts.tokens, parts.characters) == (whole.tokens, sum(map(len, texts)))


@pytest.mark.parametrize("name", VIEWS)
def test_who_knows_the_truth_is_not_away_from_it(truths, texts, name):
    truth = truths[name]
    found = evaluate(truth, truth.view.rows(texts), Oracle(truth, dtype=torch.float64)).measures()
    for measure in ("kl", "reverse_kl", "kl_bits", "invalid_mass", "calibration_error"):
        assert abs(found[measure]) < 1e-12
    assert found["cross_entropy"] == pytest.approx(found["entropy"]) and found["entropy_bits"] > 0.5


def test_another_language_is_as_far_away_in_every_view():
    """KL of words is the sum of KLs of their tokens on average over words, so in one unit all views say the same."""
    language = word_hmm(topics=2, words=60, seed=1)
    rng = np.random.default_rng(0)
    other = replace(language, emission=rng.dirichlet(np.ones(60), 2), transition=np.full((2, 2), 0.5))
    texts = language.write(np.random.default_rng(1), 300, 300)
    measures = {}
    for name in VIEWS:
        one = view(language, name, size=60)
        measures[name] = evaluate(Truth(language, one), one.rows(texts), Oracle(Truth(other, one))).measures()
    for measure in ("kl_bits", "entropy_bits", "cross_entropy_bits"):
        assert measures["char"][measure] == pytest.approx(measures["word"][measure], rel=0.02)
        assert measures["bpe"][measure] == pytest.approx(measures["word"][measure], rel=0.02)
    # That of the text itself is the same sum, in whatever pieces.
    assert measures["char"]["nll_bits"] == pytest.approx(measures["word"]["nll_bits"], rel=1e-6)
    assert measures["bpe"]["nll_bits"] == pytest.approx(measures["word"]["nll_bits"], rel=1e-6)


def test_a_model_that_excludes_what_can_follow_is_infinitely_far(truths, texts):
    truth = truths["char"]
    ids = truth.view.rows(texts[:1])
    logits = Oracle(truth, dtype=torch.float64)(ids)
    logits[0, 0, logits[0, 0].argmax()] = -math.inf
    found = figures(truth.read(ids), logits).measures()
    assert found["kl"] == math.inf and 0 < found["reverse_kl"] < 1


def test_overconfidence_is_a_calibration_error(truths, texts):
    truth = truths["word"]
    ids = truth.view.rows(texts)
    reading, logits = truth.read(ids), Oracle(truth)(ids)
    for by in (2.0, 0.5):
        assert figures(reading, by * logits).calibration_error > 0.05
    # Uniform: the first token is the likeliest, it is <pad>, and all of its confidence is in vain.
    found = figures(reading, torch.zeros_like(logits)).measures()
    assert found["calibration_error"] == pytest.approx(1 / truth.view.size)
    assert found["invalid_mass"] == pytest.approx(2 / truth.view.size)


def test_what_cannot_be_evaluated(truths, texts):
    truth = truths["char"]
    ids = truth.view.rows(texts[:2])
    with pytest.raises(ValueError, match=r"logits are \(2, 3, 20\); ids and vocabulary make it \(2, "):
        figures(truth.read(ids), torch.zeros(2, 3, 20))
    with pytest.raises(ValueError, match="no token here has a distribution that is defined"):
        figures(truth.read(ids[:, :1]), torch.zeros(2, 1, 20))
    with pytest.raises(ValueError, match="there are no documents"):
        evaluate(truth, ids[:0], lambda ids: ids)


def test_invalid_words_of_generated_texts():
    language = Language(("ka", "kato"), np.ones(1), np.ones((1, 1)), np.full((1, 2), 0.5))
    assert invalid_words(language, ["ka kato ", "ka kato kat", "ka xa k", "xx", "", " ka "]) == (3, 9)


def test_a_model_of_ours_learns_the_language():
    language = word_hmm(topics=2, words=30, seed=1)
    truth = Truth(language, view(language, "bpe", size=40))
    one, rng = truth.view, np.random.default_rng(2)
    data = [([one.eos], one.encode(text)[:47]) for text in language.write(rng, 400, 150)]
    held_out = one.rows(language.write(rng, 40, 150), columns=48)
    torch.manual_seed(0)
    model = Transformer(Config(vocabulary=one.size, context=48, d_model=32, layers=1, d_ff=64))
    before = evaluate(truth, held_out, model).measures()
    train(
        model, examples(data, one.pad), Recipe(steps=40, batch=32), generator=torch.Generator().manual_seed(0)
    )
    after = evaluate(truth, held_out, model).measures()
    assert after["kl_bits"] < 0.5 * before["kl_bits"] and after["invalid_mass"] < 0.6 * before["invalid_mass"]
    made = generate(
        model,
        [[one.eos]] * 20,
        max_new_tokens=47,
        eos=one.eos,
        pad=one.pad,
        generator=torch.Generator().manual_seed(0),
    )
    ids = torch.cat([torch.full((20, 1), one.eos), made.ids], 1)
    own = truth.read(ids)
    wrong, words = invalid_words(language, [one.decode(row, keep_eos=False) for row in made.ids.tolist()])
    assert 0 < wrong < words
    assert [own.impossible(row) is None for row in range(20)] == own.totals.isfinite().tolist()
    assert 0 < figures(own, model(ids).detach()).measures()["reverse_kl"] < math.inf
