"""Muon in float32 is PyTorch's, nearer to the exact iteration than bfloat16 takes it."""

import pytest
import torch
from torch.optim._muon import _zeropower_via_newtonschulz

from lab.core.lm.muon import Muon, orthogonal

COEFFICIENTS = 3.4445, -4.7750, 2.0315


def normal(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def exact(x, steps=5):
    """The iteration as its authors write it, in float64."""
    a, b, c = COEFFICIENTS
    x = x.double()
    x = x / x.norm()
    for _ in range(steps):
        G = x @ x.T
        x = a * x + (b * G + c * G @ G) @ x
    return x


def graded(seed, m, n, smallest):
    """Singular values from 1 down to `smallest`."""
    u, _, v = torch.linalg.svd(normal(seed, m, n).double(), full_matrices=False)
    return (u * torch.logspace(0, torch.tensor(smallest).log10(), min(m, n), dtype=torch.float64) @ v).float()


@pytest.mark.parametrize(
    "matrices",
    [
        [normal(0, 48, 48), normal(1, 144, 48), normal(2, 48, 288), 1e-6 * normal(3, 48, 48)],
        [normal(4, 1, 1), normal(5, 1, 7), normal(6, 7, 1), normal(7, 3, 17), normal(8, 17, 3)],
        [graded(9, 32, 96, 1e-8), graded(10, 96, 32, 1e-3)],
        [normal(11, 40, 1) @ normal(12, 1, 60) + 1e-6 * normal(13, 40, 60)],
    ],
    ids=["of a block", "thin", "ill-conditioned", "of rank 1"],
)
def test_it_is_nearer_to_the_exact_iteration_than_bfloat16(matrices):
    for x, found in zip(matrices, orthogonal(matrices, COEFFICIENTS, 5, 1e-7), strict=True):
        right = exact(x)
        in_half = _zeropower_via_newtonschulz(x, COEFFICIENTS, 5, 1e-7)
        assert found.shape == x.shape and found.dtype == x.dtype
        error, allowed = ((y.double() - right).norm() / right.norm() for y in (found, in_half))
        assert error < 2e-3 and error < allowed


def test_its_steps_are_those_of_pytorch():
    """Of float64, whose orthogonal factor PyTorch rounds to bfloat16; momentum, rate and decay are the same."""
    moved = []
    for kind in (Muon, torch.optim.Muon):
        weights = [
            torch.nn.Parameter(normal(i, *shape).double()) for i, shape in enumerate([(8, 24), (9, 5)])
        ]
        optimizer = kind(weights, lr=0.1, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
        for step in range(3):
            for i, weight in enumerate(weights):
                weight.grad = normal(10 * step + i, *weight.shape).double()
            optimizer.step()
        moved.append((weights, optimizer.state_dict()["state"]))
    for a, b, first in zip(moved[0][0], moved[1][0], (normal(0, 8, 24), normal(1, 9, 5)), strict=True):
        assert (a - b).norm() < 0.02 * (b - first).norm()
    for i, state in moved[0][1].items():
        torch.testing.assert_close(state, moved[1][1][i])


def test_nothing_moves_without_a_gradient_and_0_is_no_division():
    weights = [torch.nn.Parameter(normal(i, 4, 6)) for i in range(2)]
    before = [w.detach().clone() for w in weights]
    optimizer = Muon(weights, lr=0.1, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    optimizer.step()
    weights[0].grad = torch.zeros(4, 6)
    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(before, weights, strict=True))
