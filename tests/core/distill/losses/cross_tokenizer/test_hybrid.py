"""GOLD: by name and by rank."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.core.distill.losses.cross_tokenizer import Shared, align_batch, gold, merged, shared, tokens, uld

STUDENT = [b"a", b"b", b"ab", b"c", b"x"]
TEACHER = [b"c", b"a", b"bc", b"b", b"y", b"z"]


def normal(seed, *shape, scale=1.0):
    return scale * torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def batch():
    """ "abc" and "cab", cut differently and equally."""
    return align_batch(
        [
            (tokens([2, 3], STUDENT), tokens([1, 2], TEACHER)),
            (tokens([3, 0, 1], STUDENT), tokens([0, 1, 3], TEACHER)),
        ]
    )


@given(st.integers(0, 10**6), st.sampled_from(["bayesian", "observed"]), st.floats(0, 1), st.floats(0.1, 20))
@settings(max_examples=60, deadline=None)
def test_it_never_falls_below_nothing(seed, merge, beta, scale):
    student, teacher = normal(seed, 2, 3, 5, scale=scale), normal(seed + 1, 2, 3, 6, scale=scale)
    pairs = shared(STUDENT, TEACHER)
    for weights in (None, (1.0, 0.0)):
        loss = gold(student, teacher, batch(), pairs, merge=merge, beta=beta, weights=weights)
        assert loss.isfinite() and loss >= -1e-12


def test_unscaled_parts_would_fall_below_nothing():
    """What the scaling is for: the shared tokens have little mass at the teacher's, much at the student's."""
    p, q = torch.tensor([0.01, 0.02]), torch.tensor([0.5, 0.3])
    assert (p * (p / q).log()).sum() < -0.05


def by_hand(student, teacher, side, at, beta):
    """One span of one token on both sides."""
    q, p = student[at].softmax(-1), teacher[at].softmax(-1)
    names_q, names_p = [0, 1, 3], [1, 3, 0]  # a, b, c
    qs, ps = q[names_q] / q[names_q].sum(), p[names_p] / p[names_p].sum()
    m = beta * ps + (1 - beta) * qs
    by_name = beta * (ps * (ps / m).log()).sum() + (1 - beta) * (qs * (qs / m).log()).sum()
    rest_q = torch.cat([q[[2, 4]].sort(descending=True).values, q.new_zeros(1)])
    rest_p = p[[2, 4, 5]].sort(descending=True).values
    return by_name, (rest_p - rest_q).abs().sum()


@pytest.mark.parametrize("beta", [0.2, 0.5])
def test_by_hand(beta):
    student, teacher = normal(0, 2, 3, 5), normal(1, 2, 3, 6)
    found = [by_hand(student, teacher, batch(), (1, at), beta) for at in range(3)]
    mask = torch.tensor([[0, 0, 0], [1, 1, 1]])[:, : batch().mask.shape[1]]
    for merge in ("bayesian", "observed"):  # one token has nothing to merge
        loss = gold(student, teacher, batch(), shared(STUDENT, TEACHER), mask, merge=merge, beta=beta)
        torch.testing.assert_close(loss, sum(0.5 * name + 0.5 * rank for name, rank in found) / 3)
        loss = gold(
            student, teacher, batch(), shared(STUDENT, TEACHER), mask, merge=merge, beta=beta, weights=(2, 3)
        )
        torch.testing.assert_close(loss, sum(2 * name + 3 * rank for name, rank in found) / 3)


def test_spans_of_several_tokens_are_merged_first():
    """With no weight on the names it is ULD of the merged vectors less the shared tokens."""
    student, teacher = normal(2, 2, 3, 5), normal(3, 2, 3, 6)
    pairs = Shared(torch.tensor([4]), torch.tensor([4]))
    alignment = batch()
    for merge in ("bayesian", "observed"):
        q = merged(student, alignment.student, merge)[0, 0].exp()[:4].sort(descending=True).values
        p = (
            merged(teacher, alignment.teacher, merge)[0, 0]
            .exp()[[0, 1, 2, 3, 5]]
            .sort(descending=True)
            .values
        )
        wanted = (p[:4] - q).abs().sum() + p[4]
        first = torch.zeros_like(alignment.mask)
        first[0, 0] = True
        torch.testing.assert_close(
            gold(student, teacher, alignment, pairs, first, merge=merge, weights=(0, 1)), wanted
        )


def test_at_equal_tokens_and_equal_distributions_there_is_no_loss_and_no_gradient():
    text = [tokens([0, 3, 2], STUDENT)]
    alignment = align_batch([(text[0], text[0])])
    student = normal(4, 1, 3, 5).requires_grad_()
    loss = gold(student, student.detach().clone(), alignment, shared(STUDENT, STUDENT))
    loss.backward()
    assert loss.abs() < 1e-14 and student.grad.abs().max() < 1e-12


def test_a_perfect_student_of_other_tokens_has_a_loss(ending):
    student, teacher = ending
    text = b"abcab_cab_b_"
    alignment = align_batch([(student.tokens(text), teacher.tokens(text))])
    pairs = shared(student.pieces, teacher.pieces)
    for merge in ("bayesian", "observed"):
        loss = gold(student.logits(text), teacher.logits(text), alignment, pairs, merge=merge)
        assert loss.isfinite() and loss > 0.05
    assert uld(student.logits(text), teacher.logits(text), alignment=alignment) > 0.05


def test_what_does_not_fit_is_refused():
    student, teacher, pairs = torch.zeros(2, 3, 5), torch.zeros(2, 3, 6), shared(STUDENT, TEACHER)
    none = Shared(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
    with pytest.raises(ValueError, match="the vocabularies share no token: uld compares without names"):
        gold(student, teacher, batch(), none)
    with pytest.raises(
        ValueError, match="a shared token has the id 3, but the student's logits have 3 entries"
    ):
        gold(student[..., :3], teacher, batch(), pairs)
    with pytest.raises(ValueError, match="beta is 1.5"):
        gold(student, teacher, batch(), pairs, beta=1.5)
    with pytest.raises(ValueError, match="weights are 1 and -1; neither may be below 0"):
        gold(student, teacher, batch(), pairs, weights=(1, -1))
    with pytest.raises(ValueError, match="temperature is 0"):
        gold(student, teacher, batch(), pairs, temperature=0)
    with pytest.raises(ValueError, match="teacher_logits are NaN in 5 places"):
        gold(student, teacher * float("nan"), batch(), pairs)
    with pytest.raises(ValueError, match=r"the mask has shape \(2, 2\), but the spans \(2, 3\)"):
        gold(student, teacher, batch(), pairs, torch.ones(2, 2))
