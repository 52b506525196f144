"""All losses alike: however a batch is laid out; their gradients; what they are constant to."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.core.distill.losses.cross_tokenizer import (
    align_batch,
    alm,
    gold,
    hidden_states,
    mapped_kl,
    min_ed,
    shared,
    soft_targets,
    tokens,
    uld,
)

STUDENT = [b"a", b"b", b"c", b"ab", b""]
TEACHER = [b"c", b"a", b"bc", b"b", b"y", b"ca"]
PAIRS = shared(STUDENT, TEACHER)
NEAREST = min_ed(STUDENT, TEACHER)
MARKS = (
    torch.tensor([len(piece) == 1 for piece in STUDENT]),
    torch.tensor([len(piece) == 1 for piece in TEACHER]),
)
P = torch.linspace(-1, 1, 30, dtype=torch.float64).view(5, 6)

LOSSES = {
    "uld": lambda s, t, a, mask=None, **how: uld(s, t, mask, 1.5, alignment=a, **how),
    "mapped_kl": lambda s, t, a, mask=None, **how: mapped_kl(s, t, NEAREST, mask, 1.5, alignment=a, **how),
    "mapped_kl-sum": lambda s, t, a, mask=None, **how: mapped_kl(
        s, t, NEAREST, mask, alignment=a, merge="sum", **how
    ),
    "gold-bayesian": lambda s, t, a, mask=None, **how: gold(s, t, a, PAIRS, mask, 1.5, **how),
    "gold-observed": lambda s, t, a, mask=None, **how: gold(
        s, t, a, PAIRS, mask, merge="observed", beta=0.9, **how
    ),
    "gold-kl": lambda s, t, a, mask=None, **how: gold(s, t, a, PAIRS, mask, beta=0, **how),
    "alm": lambda s, t, a, mask=None, **how: alm(s, t, a, mask, tau=2.0, **how),
    "alm-marks": lambda s, t, a, mask=None, **how: alm(
        s, t, a, mask, tau=2.0, next_marks=MARKS, both_ends=True, **how
    ),
    "hidden": lambda s, t, a, mask=None, **how: hidden_states(
        s, t, a, lambda x: x @ P, mask, power=0.7, **how
    ),
    "hidden-cosine": lambda s, t, a, mask=None, **how: hidden_states(
        s, t, a, lambda x: x @ P, mask, measure="cosine", **how
    ),
}
every = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def normal(seed, *shape):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def rows():
    """Texts of unlike lengths, one of them empty; a special token on the student's side."""
    cuts = [
        ([4, 3, 2, 0], [1, 2, 1]),
        ([2, 0, 1, 2], [5, 3, 0]),
        ([0], [1]),
        ([], []),
        ([3, 3, 4], [1, 3, 1, 3]),
        ([2, 3, 2, 0, 1, 2], [0, 1, 3, 5, 2]),
    ]
    return [(tokens(s, STUDENT), tokens(t, TEACHER)) for s, t in cuts]


def batch(pairs, seed=0, hole=0.0):
    """Alignment and logits of all rows; a row's numbers are its own, one position more than it has tokens."""
    alignment = align_batch(pairs)
    sides = []
    for side, V, add in ((alignment.student, 5, 0), (alignment.teacher, 6, 100)):
        x = torch.full((len(pairs), side.ids.shape[1] + 1, V), hole, dtype=torch.float64)
        for row, both in enumerate(pairs):
            n = len(both[add > 0].ids) + 1
            x[row, :n] = normal(seed + add + sum(map(ord, both[0].text.decode())) + n, n, V)
        sides.append(x)
    return sides[0].requires_grad_(), sides[1], alignment


@every
@given(st.sampled_from([0.0, math.nan, math.inf, -math.inf, 1e30]))
@settings(max_examples=5, deadline=None)
def test_padding_may_hold_anything(loss, hole):
    """A row beside longer ones, over padding of any kind, has the loss and gradient that it has alone."""
    pairs = rows()
    s, t, a = batch(pairs, hole=hole)
    found = loss(s, t, a)
    slope = torch.autograd.grad(found, s)[0]
    assert slope.isfinite().all()
    total, spans = 0.0, int(a.mask.sum())
    for row, both in enumerate(pairs):
        alone, teacher, alignment = batch([both])
        one = loss(alone, teacher, alignment, num_items=spans)
        total += one.item()
        n = len(both[0].ids) + 1
        torch.testing.assert_close(
            slope[row, :n], torch.autograd.grad(one, alone)[0][0], rtol=1e-9, atol=1e-12
        )
        assert (slope[row, n:] == 0).all()
    assert found.item() == pytest.approx(total, rel=1e-9)


@every
def test_micro_batches_add_up_and_masks_leave_out(loss):
    pairs = rows()
    s, t, a = batch(pairs)
    whole, spans = loss(s, t, a), int(a.mask.sum())
    pieces = 0
    for part in (pairs[:2], pairs[2:]):
        alone, teacher, alignment = batch(part)
        pieces = pieces + loss(alone, teacher, alignment, num_items=spans)
    torch.testing.assert_close(pieces, whole)

    mask = torch.zeros_like(a.mask)
    mask[1, 0] = mask[5, 1] = True
    kept = loss(s, t, a, mask)
    by_span = []
    for row, at in ((1, 0), (5, 1)):
        one = torch.zeros_like(mask)
        one[row, at] = True
        by_span.append(loss(s, t, a, one))
    torch.testing.assert_close(kept, sum(by_span) / 2)
    nothing = loss(s, t, a, torch.zeros_like(mask))
    assert nothing == 0 and torch.autograd.grad(nothing, s)[0].abs().max() == 0


@every
def test_gradients_are_those_of_the_value_and_the_teacher_has_none(loss):
    s, t, a = batch(rows()[:3])
    t.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, t.detach(), a), s)
    loss(s, t, a).backward()
    assert t.grad is None and s.grad.abs().max() > 1e-6


@pytest.mark.parametrize("name", [name for name in LOSSES if "hidden" not in name])
def test_half_precision_is_widened_first(name):
    loss = LOSSES[name]
    s, t, a = batch(rows())
    half = s.detach().bfloat16().requires_grad_()
    found = loss(half, t.bfloat16(), a)
    found.backward()
    assert found.dtype == torch.float32 and half.grad.dtype == torch.bfloat16 and half.grad.isfinite().all()
    torch.testing.assert_close(
        found.double(), loss(half.detach().double(), t.bfloat16().double(), a), rtol=1e-4, atol=1e-6
    )


@given(st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_soft_targets_with_minus_infinity_on_either_side(seed):
    teacher = normal(seed, 2, 3, 4).masked_fill(normal(seed + 1, 2, 3, 4) > 0.5, -math.inf)
    student = normal(seed + 2, 2, 3, 4).requires_grad_()
    loss = soft_targets(student, teacher, temperature=2.0)
    loss.backward()
    assert loss.isfinite() and student.grad.isfinite().all()
    nowhere = (teacher == -math.inf) & (teacher > -math.inf).any(-1, keepdim=True)
    masked = student.detach().masked_fill(nowhere, -math.inf).requires_grad_()
    loss = soft_targets(masked, teacher)
    loss.backward()
    assert loss.isfinite() and masked.grad.isfinite().all()


def test_losses_of_one_vocabulary_refuse_another():
    with pytest.raises(ValueError, match="the student has a vocabulary of 3, the teacher one of 4"):
        soft_targets(torch.zeros(1, 2, 3), torch.zeros(1, 2, 4))
    with pytest.raises(ValueError, match="teacher_logits have shape \\(2, 3\\); three axes are needed"):
        soft_targets(torch.zeros(2, 3), torch.zeros(2, 3))
