"""Hidden states at aligned positions."""

import math

import pytest
import torch

from lab.core.distill.losses.cross_tokenizer import align_batch, hidden_states, tokens

PIECES = [b"a", b"b", b"ab"]


def normal(seed, *shape):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def batch():
    """ "abab" as ab-a-b and a-b-ab: spans begin at 0 and 1 of the student's tokens, 0 and 2 of the teacher's."""
    return align_batch([(tokens([2, 0, 1], PIECES), tokens([0, 1, 2], PIECES))])


def test_by_hand():
    h_S, h_T, P = normal(0, 1, 3, 2), normal(1, 1, 3, 4), normal(2, 2, 4)
    a, b = h_S[0, [0, 1]] @ P, h_T[0, [0, 2]]
    found = hidden_states(h_S, h_T, batch(), lambda x: x @ P)
    torch.testing.assert_close(found, (a - b).square().mean() / b.square().mean())
    torch.testing.assert_close(
        hidden_states(h_S, h_T, batch(), lambda x: x @ P, power=2.0), (a - b).square().mean() / 2
    )
    cosine = 1 - (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1))
    torch.testing.assert_close(
        hidden_states(h_S, h_T, batch(), lambda x: x @ P, measure="cosine"), cosine.mean()
    )
    second = torch.tensor([[0, 1]])
    torch.testing.assert_close(
        hidden_states(h_S, h_T, batch(), lambda x: x @ P, second),
        (a[1] - b[1]).square().mean() / b[1].square().mean(),
    )


def test_the_projector_learns_and_the_teacher_does_not():
    h_S, h_T = normal(0, 1, 3, 2).requires_grad_(), normal(1, 1, 3, 4).requires_grad_()
    P = torch.nn.Linear(2, 4, dtype=torch.float64)
    hidden_states(h_S, h_T, batch(), P).backward()
    assert P.weight.grad.abs().max() > 0 and h_T.grad is None
    assert h_S.grad[0, 2].abs().max() == 0 and h_S.grad[0, 0].abs().max() > 0
    exact = hidden_states(h_S, P(h_S).detach()[:, [0, 2, 1]], batch(), P)
    assert exact < 1e-15


def test_what_does_not_fit_is_refused():
    h_S, h_T = torch.zeros(1, 3, 2), torch.zeros(1, 3, 4)
    with pytest.raises(
        ValueError, match="the student's states have 2 values and the teacher's 4: a projector has to"
    ):
        hidden_states(h_S, h_T, batch())
    with pytest.raises(ValueError, match="unknown measure 'l2'; known: squares, cosine"):
        hidden_states(h_T, h_T, batch(), measure="l2")
    h_T[0, 2, 1] = math.nan
    with pytest.raises(ValueError, match="teacher_hidden are NaN in 1 places, first in row 0 at position 1"):
        hidden_states(torch.zeros(1, 3, 4), h_T, batch())
