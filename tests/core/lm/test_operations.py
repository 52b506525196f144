"""Gradients by hand are those of the formula, and the formula is the one in the paper."""

import math

import pytest
import torch

from lab.core.lm.operations import RMSNorm, normed, rotated, rotations, swiglu


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


def test_pairs_turn_by_their_position():
    """RoPE, eq. 14, for the second pair at position 3: an angle of 3 · θ^(−2/4)."""
    x, theta = torch.randn(1, 5, 1, 4), 100.0
    turned = rotated(x, rotations(5, 4, theta))
    angle = 3 * theta**-0.5
    a, b = x[0, 3, 0, 2:].tolist()
    expected = [a * math.cos(angle) - b * math.sin(angle), a * math.sin(angle) + b * math.cos(angle)]
    torch.testing.assert_close(turned[0, 3, 0, 2:], torch.tensor(expected))
    assert torch.equal(turned[:, 0], x[:, 0])


def test_rotary_positions_know_only_differences():
    turns = rotations(50, 8, 10_000.0)
    q, k = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)

    def product(i, j):
        return (rotated(q, turns[i : i + 1]) * rotated(k, turns[j : j + 1])).sum()

    torch.testing.assert_close(product(7, 3), product(44, 40))
    assert not torch.isclose(product(7, 3), product(7, 4))


def test_half_precision_is_turned_in_single():
    x = torch.randn(1, 5, 2, 8).bfloat16()
    turns = rotations(5, 8, 10_000.0)
    assert torch.equal(rotated(x, turns), rotated(x.float(), turns).bfloat16())
