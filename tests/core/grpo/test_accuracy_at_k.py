"""pass@k against the enumeration of all subsets, and the majority vote with its ties."""

from itertools import combinations, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.core.grpo import majority, pass_at_k


def enumerated(row, k):
    subsets = list(combinations(row, k))
    return sum(any(subset) for subset in subsets) / len(subsets)


@settings(deadline=None)
@given(
    st.integers(1, 7).flatmap(
        lambda n: st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=1, max_size=4)
    )
)
def test_pass_at_k_is_the_mean_over_all_subsets(right):
    for k in range(1, len(right[0]) + 1):
        exact = sum(enumerated(row, k) for row in right) / len(right)
        assert pass_at_k(right, k) == pytest.approx(exact, rel=1e-14, abs=1e-15)
        assert pass_at_k(torch.tensor(right), k) == pass_at_k(right, k)


def test_pass_at_k_is_unbiased():
    """Over all outcomes of n = 5 samples, each right with p = 0.3: exactly 1 − 0.7^k."""
    for k in range(1, 6):
        mean = sum(
            0.3 ** sum(row) * 0.7 ** (5 - sum(row)) * pass_at_k([row], k) for row in product([0, 1], repeat=5)
        )
        assert mean == pytest.approx(1 - 0.7**k, rel=1e-13)


def test_many_samples_neither_overflow_nor_cancel():
    row = [True] + [False] * 4095
    assert pass_at_k([row], 1024) == 0.25
    assert pass_at_k([[False] * 4096], 1024) == 0
    assert pass_at_k([row], 4096) == 1


@pytest.mark.parametrize("k", [0, 4])
def test_pass_at_k_needs_enough_samples(k):
    with pytest.raises(ValueError, match=f"k from 1 to the 3 samples of a problem, not {k}"):
        pass_at_k([[True, False, True]], k)


def test_majority_by_hand():
    assert majority([["4", "4", "5"]], ["4"]) == 1
    assert majority([["4", "5", "5"]], ["4"]) == 0
    assert majority([["4", "5", "6"]], ["4"]) == pytest.approx(1 / 3)
    assert majority([["4", "4", "5", "5", "6"]], ["5"]) == 0.5
    assert majority([["4", "4", "5", "5", "6"]], ["6"]) == 0
    assert majority([["4", "4"], ["1", "2"]], ["4", "1"]) == 0.75


def test_none_does_not_vote():
    assert majority([[None, None, "4"]], ["4"]) == 1
    assert majority([[None, None]], ["4"]) == 0
    assert majority([[]], ["4"]) == 0


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "b", None]), max_size=6), st.permutations(range(6)))
def test_the_vote_does_not_depend_on_order_and_shares_sum_to_one(answers, order):
    shuffled = [answers[i] for i in order if i < len(answers)]
    shares = [majority([answers], [truth]) for truth in "ab"]
    assert shares == [majority([shuffled], [truth]) for truth in "ab"]
    assert sum(shares) == (1 if any(answers) else 0)


def test_refusals():
    with pytest.raises(ValueError, match="answers to 1 problems, but 2 right answers"):
        majority([["4"]], ["4", "5"])
    with pytest.raises(ValueError, match="no problems"):
        majority([], [])
    with pytest.raises(ValueError, match="no problems"):
        pass_at_k([], 1)
