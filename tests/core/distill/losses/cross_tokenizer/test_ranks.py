"""ULD: what it sees, and what it does not."""

import math

import pytest
import torch

from lab.core.distill.losses.cross_tokenizer import align_batch, soft_targets, uld


def normal(seed, *shape):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_it_is_blind_to_which_token_has_which_probability():
    """A student that has every token wrong but the right probabilities is perfect to ULD, and not to KL."""
    teacher = normal(0, 2, 5, 7)
    permuted = teacher[..., torch.randperm(7, generator=torch.Generator().manual_seed(1))]
    assert uld(permuted, teacher) < 1e-15
    assert soft_targets(permuted, teacher) > 0.5


def test_by_hand_with_vocabularies_of_two_sizes():
    student = torch.tensor([[[0.7, 0.3], [0.5, 0.5]]]).log()
    teacher = torch.tensor([[[0.2, 0.2, 0.6], [0.0, 1.0, 0.0]]]).log()
    # sorted: .7 .3 0 and .6 .2 .2; .5 .5 0 and 1 0 0
    assert uld(student, teacher).item() == pytest.approx((0.1 + 0.1 + 0.2 + 0.5 + 0.5) / 2)
    assert uld(teacher, student).item() == pytest.approx(uld(student, teacher).item())
    assert uld(student, teacher, torch.tensor([[0, 1]])).item() == pytest.approx(1.0)
    hot = uld(student, teacher[:, :1].expand(1, 2, 3), torch.tensor([[1, 0]]), temperature=2.0)
    q, p = ([x**0.5 for x in (0.7, 0.3, 0.0)], [x**0.5 for x in (0.6, 0.2, 0.2)])
    assert hot.item() == pytest.approx(
        sum(abs(a / sum(q) - b / sum(p)) for a, b in zip(q, p, strict=True)), rel=1e-6
    )


def test_a_perfect_student_of_other_tokens_has_a_loss_and_a_gradient_that_leads_away(ending):
    student, teacher = ending
    text = b"abcab_cab_b_"
    batch = align_batch([(student.tokens(text), teacher.tokens(text))])
    logits = student.logits(text).clamp(min=-50).requires_grad_()
    loss = uld(logits, teacher.logits(text), alignment=batch)
    loss.backward()
    assert loss > 0.1 and logits.grad.abs().max() > 0.01


def test_with_an_alignment_it_compares_at_the_first_tokens_of_spans(ending):
    student, teacher = ending
    text = b"abcab_cab_b_"
    batch = align_batch([(student.tokens(text), teacher.tokens(text))])
    s, t = student.logits(text), teacher.logits(text)
    by_hand = uld(s[:, batch.student.start[0]], t[:, batch.teacher.start[0]])
    torch.testing.assert_close(uld(s, t, alignment=batch), by_hand)
    last = torch.zeros_like(batch.mask)
    last[0, -1] = True
    torch.testing.assert_close(
        uld(s, t, last, alignment=batch),
        uld(s[:, batch.student.start[0, -1:]], t[:, batch.teacher.start[0, -1:]]),
    )


def test_what_does_not_fit_is_refused():
    student, teacher = torch.zeros(1, 3, 4), torch.zeros(1, 2, 5)
    with pytest.raises(
        ValueError, match="as many units are needed; give an alignment where the tokens differ"
    ):
        uld(student, teacher)
    with pytest.raises(ValueError, match="temperature is -1"):
        uld(student, student, temperature=-1)
    teacher = torch.zeros(1, 3, 5)
    teacher[0, 1, 2] = math.nan
    with pytest.raises(ValueError, match="teacher_logits are NaN in 1 places, first in row 0 at position 1"):
        uld(student, teacher)
    assert uld(student, teacher, torch.tensor([[1, 0, 1]])).isfinite()
    with pytest.raises(ValueError, match=r"have shape \(1, 3, 4\), but the mask has \(1, 2\)"):
        uld(student, student, torch.ones(1, 2))
