"""Advantages by hand, the rewards that nothing can be learned from, and those that are missing."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.core.grpo import group_advantages
from lab.core.grpo.advantages import zero_spread

NAN = math.nan


def rewards(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_by_hand():
    r = rewards(1, 0, 0, 3, 2, 2, 5, 7)
    # means 1 and 4; sums of squares 6 and 18, so standard deviations √2 and √6
    centred = [0, -1, -1, 2, -2, -2, 1, 3]
    assert group_advantages(r, 4, "none").tolist() == centred
    by_group = [a / (math.sqrt(2 if i < 4 else 6) + 1e-4) for i, a in enumerate(centred)]
    assert group_advantages(r, 4).tolist() == pytest.approx(by_group, rel=1e-14)
    # of all: mean 2.5, sum of squares 92 − 8·6.25 = 42
    by_batch = [a / (math.sqrt(42 / 7) + 1e-4) for a in centred]
    assert group_advantages(r, 4, "batch").tolist() == pytest.approx(by_batch, rel=1e-14)


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_a_group_of_equal_rewards_gets_exactly_zero(scale, dtype):
    # Three times 0.1 have a mean that is not 0.1 in float32, and a standard deviation that is not 0.
    r = torch.tensor([0.1, 0.1, 0.1, 0.7, 0.1, 0.1], dtype=dtype)
    A = group_advantages(r, 3, scale)
    assert A[:3].tolist() == [0, 0, 0]
    assert A[3] > 0 > A[4]
    assert zero_spread(r, 3).tolist() == [True, False]


def test_the_smallest_difference_is_one():
    r = rewards(0.3, math.nextafter(0.3, 1))
    assert zero_spread(r, 2).tolist() == [False]


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_a_completion_without_a_score_changes_nothing_for_the_others(scale):
    with_holes = group_advantages(rewards(1, NAN, 4, NAN, 2, 3, NAN, 6, 7), 3, scale)
    assert with_holes[[1, 3, 6]].tolist() == [0, 0, 0]
    for group in ([0, 2], [4, 5], [7, 8]):
        r = rewards(1, NAN, 4, NAN, 2, 3, NAN, 6, 7)[group]
        alone = group_advantages(r, 2, "none")
        if scale == "group":
            alone = alone / (r.std() + 1e-4)
        elif scale == "batch":
            alone = alone / (rewards(1, 4, 2, 3, 6, 7).std() + 1e-4)
        torch.testing.assert_close(with_holes[group], alone)


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_a_group_with_fewer_than_two_scores_gets_zero(scale):
    r = rewards(NAN, NAN, 5, NAN, 1, 2)
    A = group_advantages(r, 2, scale)
    assert A[:4].tolist() == [0, 0, 0, 0]
    assert A[4] < 0 < A[5]
    assert zero_spread(r, 2).tolist() == [True, True, False]
    assert group_advantages(rewards(NAN, NAN), 2, scale).tolist() == [0, 0]


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(-3, 3), min_size=3, max_size=3), min_size=1, max_size=5),
    st.integers(-5, 5),
    st.permutations(range(3)),
)
def test_laws(groups, shift, order):
    r = torch.tensor(groups, dtype=torch.float64)
    for scale in ("group", "batch", "none"):
        A = group_advantages(r.flatten(), 3, scale).view(-1, 3)
        torch.testing.assert_close(A.sum(1), torch.zeros(len(groups), dtype=A.dtype), atol=1e-9, rtol=0)
        moved = group_advantages((r + shift).flatten(), 3, scale).view(-1, 3)
        torch.testing.assert_close(moved, A, atol=1e-9, rtol=1e-9)
        shuffled = group_advantages(r[:, list(order)].flatten(), 3, scale).view(-1, 3)
        torch.testing.assert_close(shuffled, A[:, list(order)], atol=1e-9, rtol=1e-9)
    other = group_advantages(torch.cat([r.flatten(), rewards(0, 1, 9)]), 3)[: r.numel()]
    torch.testing.assert_close(other, group_advantages(r.flatten(), 3))  # a group sees only itself


def test_whole_numbers_and_none_at_all():
    assert group_advantages(torch.tensor([0, 1]), 2, "none").tolist() == [-0.5, 0.5]
    assert group_advantages(torch.tensor([True, False]), 2, "none").tolist() == [0.5, -0.5]
    assert group_advantages(rewards(), 2).shape == (0,)


@pytest.mark.parametrize(
    ("r", "of", "scale", "says"),
    [
        (rewards(1, 2), 1, "group", "a group of one has nothing to be compared with"),
        (rewards(1, 2, 3), 2, "group", "3 rewards are no whole number of groups of 2"),
        (rewards(1, 2).view(1, 2), 2, "group", r"shape \(1, 2\)"),
        (rewards(1, 2), 2, "std", "unknown scale_rewards 'std'; known: group, batch, none"),
        (rewards(1, math.inf), 2, "group", "completion 1 is inf"),
    ],
)
def test_refusals(r, of, scale, says):
    with pytest.raises(ValueError, match=says):
        group_advantages(r, of, scale)


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rewards_of_any_size(scale, dtype):
    """Of 1e20 the squares overflow in float32, of 1e38 the sum; a group that earns little stands beside one that earns much."""
    most = 2.5e38 if dtype == torch.float32 else 1.5e308
    for size in (1e-30, 1e-3, 1.0, 1e20, most):
        shares = torch.tensor([0.9, -0.3, 0.5, 0.5, 0.1, 0.0], dtype=torch.float64)
        r = (shares * size).to(dtype)
        A = group_advantages(r, 3, scale)
        exact = [Fraction(x) for x in r.tolist()]
        groups = [exact[:3], exact[3:]]
        around = {"group": groups, "batch": [exact, exact], "none": [[], []]}[scale]
        wanted = []
        for group, others in zip(groups, around, strict=True):
            unit = Fraction(size)
            middle = sum(others) / max(len(others), 1)
            squares = sum(((x - middle) / unit) ** 2 for x in others)
            spread = (
                unit * Fraction(math.sqrt(squares / max(len(others) - 1, 1))) + Fraction(1e-4)
                if others
                else 1
            )
            wanted += [float((x - sum(group) / 3) / spread) for x in group]
        torch.testing.assert_close(
            A, torch.tensor(wanted, dtype=dtype), rtol=1e-5, atol=0 if size >= 1 else 1e-30
        )


def test_a_small_group_beside_a_large_one_keeps_its_advantages():
    small, large = torch.tensor([0.0, 1e-10, 0.0]), torch.tensor([1e30, 0.0, 0.0])
    A = group_advantages(torch.cat([small, large]), 3)
    assert torch.equal(A[:3], group_advantages(small, 3)) and torch.equal(A[3:], group_advantages(large, 3))
    assert A[1] > 0
