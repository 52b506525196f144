"""Gradients by hand are those of the formula, and the formula is the one in the paper."""

import pytest
import torch

from lab.core.lm.operations import RMSNorm, normed, swiglu


def numbers(*shape):
    return torch.randn(
        *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    ).requires_grad_()


@pytest.mark.parametrize("operation", [normed, swiglu])
def test_gradients_are_right(operation):
    x = numbers(3, 2, 6)
    assert torch.autograd.gradcheck(operation, x)
    strided = numbers(3, 8, 2).mT[..., 1:7]  # as a slice of a wider product is
    assert torch.autograd.gradcheck(lambda y: operation(y * 1), strided.detach().requires_grad_())


def test_values_with_and_without_a_gradient():
    x, gain = numbers(4, 6), RMSNorm(6).double()
    with torch.no_grad():
        gain.weight.uniform_(0.5, 2)
    by_hand = x / (x.square().mean(-1, keepdim=True) + torch.finfo(x.dtype).eps).sqrt() * gain.weight
    gate, up = x[:, :3], x[:, 3:]
    for operation, expected in ((gain, by_hand), (swiglu, gate / (1 + torch.exp(-gate)) * up)):
        torch.testing.assert_close(operation(x), expected)
        with torch.no_grad():
            torch.testing.assert_close(operation(x), expected)


def test_a_row_of_zeros_stays_0_with_a_finite_gradient():
    x = torch.zeros(2, 4, requires_grad=True)
    normed(x).sum().backward()
    assert not normed(x).any() and x.grad.isfinite().all()
