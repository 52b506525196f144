"""What is said of spans: the chain rule, by all continuations of a toy model and all texts of a toy language."""

import math
from itertools import product

import pytest
import torch

from lab.core.distill.losses.cross_tokenizer import align_batch, merged, span_logp, tokens, word_ends
from lab.core.distill.losses.cross_tokenizer.spans import at_starts

V = 3
PIECES = [b"x", b"yy", b"z"]


def close(a, b, rtol=1e-10, atol=1e-12):
    torch.testing.assert_close(a, torch.as_tensor(b, dtype=a.dtype), rtol=rtol, atol=atol)


class Model:
    """Next-token log-probs for every beginning, at random; probabilities of sequences by the chain rule."""

    def __init__(self, seed):
        self.seed = seed

    def __call__(self, beginning):
        draw = torch.Generator().manual_seed(self.seed + sum((i + 1) * 7**n for n, i in enumerate(beginning)))
        return torch.randn(V, dtype=torch.float64, generator=draw).log_softmax(0)

    def logits(self, ids):
        """The rows for a text, each off by a constant: they are logits."""
        return torch.stack([self(ids[:at]) + at for at in range(len(ids))]).unsqueeze(0)

    def joint(self, beginning, ids):
        """P(ids | beginning)."""
        return math.exp(sum(self((*beginning, *ids[:at]))[i] for at, i in enumerate(ids)))


def one_span(ids, first, stop):
    """A text of which the other side cuts nothing between two places."""
    text = tokens(ids, PIECES)
    ends = [0, *text.ends]
    whole = [text.text[: ends[first]], text.text[ends[first] : ends[stop]], text.text[ends[stop] :]]
    other = tokens([i for i, piece in enumerate(whole) if piece], whole)
    return align_batch([(text, other)]), int(first > 0)


@pytest.mark.parametrize("ids", list(product(range(V), repeat=4)))
def test_merged_spans_are_joint_probabilities_by_enumeration(ids):
    model = Model(5)
    for first, stop in ((0, 2), (1, 3), (1, 4), (2, 4)):
        batch, span = one_span(ids, first, stop)
        logits = model.logits(ids)
        before, earlier, later = ids[:first], ids[first : stop - 1], ids[first + 1 : stop]
        bayesian, observed = (
            merged(logits, batch.student, how).exp()[0, span] for how in ("bayesian", "observed")
        )
        # For every y: the earlier tokens, then y.
        close(bayesian, [model.joint(before, (*earlier, y)) for y in range(V)])
        close(bayesian.sum(), model.joint(before, earlier))
        # Of the span that is there both say the same, and it is the span's probability.
        there = model.joint(before, ids[first:stop])
        close(bayesian[ids[stop - 1]], there)
        close(observed[ids[first]], there)
        close(span_logp(logits, batch.student)[0, span].exp(), there)
        # Of other first tokens, observed says what was never asked of the model.
        for y in set(range(V)) - {ids[first]}:
            assert abs(observed[y] - model.joint(before, (y, *later))) > 1e-6


def test_a_special_token_inside_counts_and_one_outside_does_not():
    pieces = [b"x", b"yy", b""]
    specials, other = tokens([2, 0, 2, 1, 2], pieces), tokens([0], [b"xyy"])
    batch = align_batch([(specials, other)])
    logits = Model(1).logits([2, 0, 2, 1, 2])
    logp = logits.log_softmax(-1)[0]
    close(span_logp(logits, batch.student)[0, 0], logp[1, 0] + logp[2, 2] + logp[3, 1])
    close(merged(logits, batch.student)[0, 0], logp[1, 0] + logp[2, 2] + logp[3])


def test_temperature_is_that_of_all_that_is_multiplied():
    batch, span = one_span((0, 1, 2), 0, 3)
    logits = Model(2).logits((0, 1, 2))
    logp = (logits / 3).log_softmax(-1)[0]
    close(merged(logits, batch.student, temperature=3.0)[0, span], logp[0, 0] + logp[1, 1] + logp[2])


def test_merges_do_not_depend_on_other_rows():
    """Rows of fewer spans are filled up, and what fills them up must not touch their first token."""
    ids = [(0, 1, 2, 0), (1, 2)]
    others = [[b"x", b"yy", b"z", b"x"], [b"yyz"]]
    pairs = [
        (tokens(row, PIECES), tokens(range(len(other)), other))
        for row, other in zip(ids, others, strict=True)
    ]
    batch, alone = align_batch(pairs), align_batch(pairs[1:])
    single = Model(3).logits(ids[1])
    both = torch.full((2, 4, V), math.nan, dtype=torch.float64)
    both[0], both[1, :2] = Model(3).logits(ids[0])[0], single[0]
    for how in ("bayesian", "observed"):
        close(merged(both, batch.student, how)[1, :1], merged(single, alone.student, how)[0])
    close(span_logp(both, batch.student)[1, :1], span_logp(single, alone.student)[0])


def test_what_does_not_fit_is_refused():
    batch, _ = one_span((0, 1, 2), 0, 2)
    logits = torch.zeros(1, 3, V)
    with pytest.raises(ValueError, match="unknown merge 'mean'; known: bayesian, observed"):
        merged(logits, batch.student, "mean")
    with pytest.raises(ValueError, match="temperature is 0; it must be above 0"):
        merged(logits, batch.student, temperature=0)
    with pytest.raises(ValueError, match=r"logits have shape \(1, 2, 3\); \(1, at least 3, …\) is needed"):
        span_logp(logits[:, :2], batch.student)
    with pytest.raises(
        ValueError, match="ids up to 2, but the logits only 2 entries: are they of this side's vocab"
    ):
        span_logp(logits[..., :2], batch.student)
    assert at_starts(torch.zeros(1, 9, V), batch.student).shape == (1, 2, V)  # positions behind are not read


# Two exact models of one language.


def differences(both, boundaries=None):
    """ℓ of both sides for all spans of all texts of the language, weighted by the texts' probability."""
    student, teacher = both
    found = []
    for text, p in student.texts.items():
        ends = None if boundaries is None else [boundaries(text)]
        batch = align_batch([(student.tokens(text), teacher.tokens(text))], ends)
        gap = span_logp(student.logits(text), batch.student) - span_logp(teacher.logits(text), batch.teacher)
        found.append((p, gap.abs().flatten()))
    return found


def test_words_are_as_likely_in_every_exact_model_and_minimal_spans_are_not(ending):
    words = differences(ending, lambda text: word_ends(text, b"_", leading=False))
    assert max(gap.max() for _, gap in words) < 1e-12
    minimal = differences(ending)
    assert sum(p * gap.mean() for p, gap in minimal) > 0.1
    assert sum(p * (gap > 1e-9).double().mean() for p, gap in minimal) > 0.3


def test_words_that_only_begin_with_a_mark_are_not(beginning):
    """Their likelihood does not say that they are over: " ab" may go on to " abc" for one side only."""
    assert max(gap.max() for _, gap in differences(beginning, word_ends)) > 0.1
