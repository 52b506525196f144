"""Rotary positions turn each pair of a head by its position."""

import math

import torch

from lab.core.position.rotary import frequencies, rotated, turning_by


def rotations(positions, head_dim, theta):
    return turning_by(frequencies(head_dim, theta))(torch.arange(positions)).unsqueeze(1)


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
