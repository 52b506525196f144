"""ALM: the likelihoods of spans, as bits."""

import math

import pytest
import torch

from lab.core.distill.losses.cross_tokenizer import (
    align_batch,
    alm,
    begins_with,
    span_logp,
    tokens,
    word_ends,
)
from lab.core.distill.losses.cross_tokenizer.likelihoods import binary_kl

PIECES = [b"a", b"b", b"ab", b"c"]


def normal(seed, *shape):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def batch():
    return align_batch(
        [
            (tokens([2, 3], PIECES), tokens([0, 1, 3], PIECES)),
            (tokens([3, 0, 1], PIECES), tokens([3, 2], PIECES)),
        ]
    )


@pytest.mark.parametrize("tau", [1.0, 100.0])
def test_by_hand(tau):
    student, teacher = normal(0, 2, 3, 4), normal(1, 2, 3, 4)
    q, p = student.log_softmax(-1), teacher.log_softmax(-1)
    ells = [
        (p[0, 0, 0] + p[0, 1, 1], q[0, 0, 2]),
        (p[0, 2, 3], q[0, 1, 3]),
        (p[1, 0, 3], q[1, 0, 3]),
        (p[1, 1, 2], q[1, 1, 0] + q[1, 2, 1]),
    ]
    wanted = 0
    for p_ell, q_ell in ells:
        a, b = math.exp(p_ell / tau), math.exp(q_ell / tau)
        cross_entropy = -a * math.log(b) - (1 - a) * math.log(1 - b)
        entropy = -a * math.log(a) - (1 - a) * math.log(1 - a)
        wanted += (cross_entropy - entropy) / 4
    assert alm(student, teacher, batch(), tau=tau).item() == pytest.approx(wanted, rel=1e-9)


def test_at_equality_there_is_no_loss_and_no_gradient():
    """Equal likelihoods of spans, that is: from other tokens, and without equal distributions."""
    teacher = normal(2, 2, 3, 4)
    alignment = batch()
    p = span_logp(teacher, alignment.teacher)
    student = torch.full((2, 3, 4), -30.0, dtype=torch.float64)
    for row, at, token, ell in (
        (0, 0, 2, p[0, 0]),
        (0, 1, 3, p[0, 1]),
        (1, 0, 3, p[1, 0]),
        (1, 1, 0, p[1, 1] / 2),
        (1, 2, 1, p[1, 1] / 2),
    ):
        other = (token + 1) % 4
        student[row, at, token], student[row, at, other] = ell, torch.log1p(-ell.exp())
    student.requires_grad_()
    loss = alm(student, teacher, alignment, tau=3.0)
    loss.backward()
    assert loss < 1e-15 and student.grad.abs().max() < 1e-12
    moved = alm(student.detach() + 0.1 * normal(3, 2, 3, 4), teacher, alignment, tau=3.0)
    assert moved > 1e-6


def test_bits_that_are_certain_have_finite_losses_and_gradients():
    for dtype in (torch.float32, torch.float64):
        log_q = torch.tensor([0.0, -1e-9, -1e-3, -200.0, 0.0], dtype=dtype, requires_grad=True)
        log_p = torch.tensor([0.0, -0.5, -math.inf, -1e-9, -math.inf], dtype=dtype)
        loss = binary_kl(log_p, log_q)
        loss.sum().backward()
        assert loss.isfinite().all() and (loss > -1e-12).all() and log_q.grad.isfinite().all()
        assert loss[0] == 0


def test_a_certain_token_has_a_finite_gradient_at_its_logits():
    logits = torch.zeros(2, 3, 4)
    logits[..., 3] = 40.0  # log p is 0 in float32
    logits.requires_grad_()
    alm(logits, normal(5, 2, 3, 4).float(), batch()).backward()
    assert logits.grad.isfinite().all()


# Two exact models of one language: whether the truth is where the loss is least.


def losses_at_the_truth(both, text, boundaries=None, **how):
    """The loss of each span of a text but the last, behind which nothing follows in this language."""
    student, teacher = both
    alignment = align_batch(
        [(student.tokens(text), teacher.tokens(text))], None if boundaries is None else [boundaries]
    )
    s, t = (torch.cat([view.logits(text), torch.zeros(1, 1, len(view.pieces))], 1) for view in both)
    spans = [
        torch.arange(alignment.mask.shape[1]).unsqueeze(0) == i for i in range(alignment.mask.shape[1] - 1)
    ]
    return torch.stack([alm(s, t, alignment, span, tau=1.0, **how) for span in spans])


def test_the_truth_is_least_by_words_and_not_by_minimal_spans(ending):
    text = b"abcab_cab_b_"
    assert losses_at_the_truth(ending, text, word_ends(text, b"_", leading=False)).abs().max() < 1e-14
    assert losses_at_the_truth(ending, text).max() > 1e-3


@pytest.mark.parametrize("text", [b" ab abc b", b" abc ab b", b" a ab bd"])
def test_what_follows_makes_words_that_begin_with_a_mark_comparable(beginning, text):
    """The first by what follows it; the second, which is given the end of the first, by both its ends."""
    marks = tuple(begins_with(view.pieces) for view in beginning)
    plain = losses_at_the_truth(beginning, text, word_ends(text))
    outcome = losses_at_the_truth(beginning, text, word_ends(text), next_marks=marks)
    both = losses_at_the_truth(beginning, text, word_ends(text), next_marks=marks, both_ends=True)
    assert plain.max() > 1e-3
    assert outcome[0].abs() < 1e-13
    assert both.abs().max() < 1e-13
    assert (outcome[1] > 1e-3) == (text != b" abc ab b")  # nothing in this language goes on from " abc"


def test_both_ends_leave_a_first_word_without_a_mark_as_it_is(beginning):
    student, teacher = beginning
    text = b"ab abc"
    alignment = align_batch([(student.tokens(text), teacher.tokens(text))], [word_ends(text)])
    marks = tuple(begins_with(view.pieces) for view in beginning)
    s, t = normal(7, 1, 7, len(student.pieces)), normal(8, 1, 4, len(teacher.pieces))
    first = torch.tensor([[1, 0]])
    outcome = alm(s, t, alignment, first, next_marks=marks)
    torch.testing.assert_close(alm(s, t, alignment, first, next_marks=marks, both_ends=True), outcome)


def test_what_does_not_fit_is_refused():
    student, teacher = torch.zeros(2, 3, 4), torch.zeros(2, 3, 4)
    marks = torch.tensor([True, False, False, False])
    for tau in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="tau is .*; it must be above 0"):
            alm(student, teacher, batch(), tau=tau)
    with pytest.raises(
        ValueError, match="student_logits have 3 positions, but what follows token 3 is asked for"
    ):
        alm(student, teacher, batch(), next_marks=(marks, marks))
    with pytest.raises(ValueError, match="3 marks do not fit the teacher's 4 tokens"):
        alm(torch.zeros(2, 4, 4), torch.zeros(2, 4, 4), batch(), next_marks=(marks, marks[:3]))
    with pytest.raises(ValueError, match="none of 4 tokens begins with b' '"):
        begins_with(PIECES)
    with pytest.raises(ValueError, match="both_ends needs next_marks"):
        alm(student, teacher, batch(), both_ends=True)
    with_nan = torch.zeros(2, 4, 4)
    with_nan[1, 2, 0] = math.nan  # behind the second row's teacher tokens, but what follows them
    alm(torch.zeros(2, 4, 4), with_nan, batch())
    with pytest.raises(ValueError, match="teacher_logits are NaN in 1 places"):
        alm(torch.zeros(2, 4, 4), with_nan, batch(), next_marks=(marks, marks))
