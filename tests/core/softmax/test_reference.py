"""The papers' algorithms: known truths, the laws of ⊕, and how often each touches an element."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lab.core.softmax import IDENTITY, count, merge, reference
from lab.core.softmax.arithmetic import exp

ALGORITHMS = [reference.naive, reference.safe, reference.online, reference.merged, reference.two_pass]
STABLE = ALGORITHMS[1:]
logits = st.floats(-50, 50)
rows = st.lists(logits, min_size=1, max_size=30)


def run(algorithm, x):
    y = [0.0] * len(x)
    algorithm(x, y)
    return y


def exact(x):
    """Softmax with a sum that is rounded once."""
    m = max(x)
    d = math.fsum(math.exp(x_j - m) for x_j in x)
    return [math.exp(x_i - m) / d for x_i in x]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_known_truths(algorithm):
    assert run(algorithm, [5.0]) == [1.0]
    assert run(algorithm, [3.0] * 4) == pytest.approx([0.25] * 4, rel=1e-15)
    assert run(algorithm, [0.0, math.log(3.0)]) == pytest.approx([0.25, 0.75], rel=1e-15)
    assert run(algorithm, [1, 2]) == pytest.approx(exact([1.0, 2.0]), rel=1e-15)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(x=rows)
def test_agrees_with_an_exact_sum(algorithm, x):
    assert run(algorithm, x) == pytest.approx(exact(x), rel=1e-12)


@pytest.mark.parametrize("algorithm", STABLE)
def test_large_logits(algorithm):
    assert run(algorithm, [1e4, 0.0, -1e4]) == pytest.approx([1.0, 0.0, 0.0], abs=0, rel=1e-15)
    if algorithm is not reference.two_pass:  # at 10^300 a float holds no fraction
        assert run(algorithm, [-1e300, 1e300]) == [0.0, 1.0]


def test_naive_overflows_and_safe_does_not():
    assert math.isnan(run(reference.naive, [710.0, 0.0])[0])
    assert run(reference.safe, [710.0, 0.0])[0] == 1.0


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_masked_element_gets_nothing_and_changes_nothing(algorithm, position):
    row = [0.5, 1.5]
    row.insert(position, -math.inf)
    expected = exact([0.5, 1.5])
    expected.insert(position, 0.0)
    assert run(algorithm, row) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_row_of_nothing_is_nan_as_in_torch(algorithm):
    assert torch.softmax(torch.full((3,), -math.inf), -1).isnan().all()
    assert all(math.isnan(y_i) for y_i in run(algorithm, [-math.inf] * 3))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_one_line_for_a_number_and_for_a_vector_of_rows(algorithm):
    x = torch.randn(9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x[0, 1] = x[4, 2] = -math.inf
    x[:, 3] = -math.inf
    y = torch.empty_like(x)
    algorithm(x, y)
    for row in range(4):
        torch.testing.assert_close(
            y[:, row].tolist(), run(algorithm, x[:, row].tolist()), rtol=1e-14, atol=0, equal_nan=True
        )


pairs = st.one_of(st.just(IDENTITY), st.tuples(st.floats(-500, 500), st.floats(1, 1e6)))


def close(a, b):
    return a[0] == b[0] and a[1] == pytest.approx(b[1], rel=1e-12)


@given(a=pairs, b=pairs, c=pairs)
def test_merge_is_associative_and_commutative(a, b, c):
    assert close(merge(merge(a, b), c), merge(a, merge(b, c)))
    assert merge(a, b) == merge(b, a)


@given(a=pairs)
def test_merge_has_an_identity(a):
    assert merge(a, IDENTITY) == a == merge(IDENTITY, a)


def test_the_identity_merged_with_itself():
    assert merge(IDENTITY, IDENTITY) == IDENTITY
    nothing = (torch.full((2,), -math.inf), torch.zeros(2))
    m, d = merge(nothing, nothing)
    assert (m == -math.inf).all() and (d == 0).all()


@given(x=rows, cut=st.integers(0, 30))
def test_any_split_of_a_row_gives_the_same(x, cut):
    def pair(part):
        m = max(part, default=-math.inf)
        return m, math.fsum(math.exp(x_j - m) for x_j in part)

    assert close(merge(pair(x[:cut]), pair(x[cut:])), pair(x))


@pytest.mark.parametrize("V", [1, 2, 5, 1000])
@pytest.mark.parametrize(
    ("algorithm", "loads"),
    [
        (reference.naive, 2),
        (reference.safe, 3),
        (reference.online, 2),
        (reference.merged, 2),
        (reference.two_pass, 2),
    ],
)
def test_accesses_of_softmax(algorithm, loads, V):
    counts = count(algorithm, [0.1 * j for j in range(V)], [0.0] * V)
    assert (counts.loads, counts.stores) == (loads * V, V)


def test_exponentials():
    x, y = [0.1 * j for j in range(1000)], [0.0] * 1000
    assert count(reference.naive, x, y).exps == 2 * 1000
    assert count(reference.safe, x, y).exps == 2 * 1000
    # No e^(−∞ − x) for the first element in Algorithm 3 would be one less; the paper takes it.
    assert count(reference.online, x, y).exps == 3 * 1000
    assert count(reference.merged, x, y).exps == 2 * 999 + 1000
    assert count(reference.two_pass, x, y).exps == 2 * 1000


def test_exponentials_of_multiples():
    def base_2(x, y):
        for i in range(len(x)):
            y[i] = exp(math.log(2) * (x[i] * math.log2(math.e)))

    assert count(base_2, [0.5, 1.5], [0.0, 0.0]).exps == 2


@pytest.mark.parametrize("K", [1, 5])
def test_accesses_of_top_k(K):
    V = 200
    x, y, v, z = [0.1 * j for j in range(V)], [0.0] * V, [0.0] * K, [0.0] * K
    safe = count(reference.safe_topk, x, y, v, z)
    assert (safe.loads, safe.stores) == (4 * V, V + 2 * K)
    online = count(reference.online_topk, x, v, z)
    assert (online.loads, online.stores) == (V, 2 * K)


def test_counting_leaves_the_rows_alone():
    x, y = [1.0, 2.0], [7.0, 7.0]
    count(reference.safe, x, y)
    assert (x, y) == ([1.0, 2.0], [7.0, 7.0])


@given(x=st.lists(logits, min_size=1, max_size=30), data=st.data())
def test_top_k_against_torch(x, data):
    K = data.draw(st.integers(1, len(x)))
    truth = torch.softmax(torch.tensor(x, dtype=torch.float64), -1)
    expected = truth.topk(K).values.tolist()

    y, v, z = [0.0] * len(x), [0.0] * K, [0.0] * K
    reference.safe_topk(x, y, v, z)
    assert v == pytest.approx(expected, rel=1e-12)
    reference.online_topk(x, v, z)
    assert v == pytest.approx(expected, rel=1e-12)
    assert truth[z].tolist() == pytest.approx(expected, rel=1e-12)
    assert len(set(z)) == K


def test_top_k_ranks_masked_elements_last():
    v, z = [0.0] * 3, [0.0] * 3
    reference.online_topk([-math.inf, 1.0, -math.inf], v, z)
    assert v == [1.0, 0.0, 0.0]
    assert sorted(z) == [0, 1, 2]
