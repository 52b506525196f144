"""The papers' algorithms, and the bytes that their tiles move."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.core.attention import reference
from lab.core.attention.memory_traffic import block_sizes, traffic


def slope(xs, ys):
    return np.polyfit(np.log(xs), np.log(ys), 1)[0]


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=40, deadline=None)
@given(
    queries=st.integers(1, 12),
    keys=st.integers(1, 12),
    B_r=st.integers(1, 7),
    B_c=st.integers(1, 7),
    causal=st.booleans(),
)
def test_algorithm_1_is_algorithm_0_for_any_tiles(queries, keys, B_r, B_c, causal):
    Q, K, V = normal(queries, 4), normal(keys, 4, seed=1), normal(keys, 3, seed=2)
    O, ell, m = reference.algorithm_1(Q, K, V, B_r=B_r, B_c=B_c, causal=causal)  # noqa: E741
    torch.testing.assert_close(O, reference.algorithm_0(Q, K, V, causal=causal), rtol=1e-12, atol=1e-13)
    if not causal:
        torch.testing.assert_close(reference.log_sum_exp(ell, m), torch.logsumexp(Q @ K.mT, -1))


def test_a_known_truth():
    Q, K, V = torch.zeros(1, 2), torch.zeros(4, 2), torch.arange(4.0).unsqueeze(1)
    O, ell, m = reference.algorithm_1(Q, K, V, B_r=1, B_c=3)  # noqa: E741
    assert (O.item(), ell.item(), m.item()) == (1.5, 4.0, 0.0)


def test_tiny_cases_counted_by_hand():
    # N=2, d=1. Standard: Q, K and V read (6), S and P written and read (16), O written (2).
    assert traffic("standard", 2, 1, onchip_bytes=4, itemsize=1) == 24
    # Flash with M=4: B_c = B_r = 1. Written first: O, ℓ, m (6). Then for each of 2 columns: K_j, V_j (2), and for each
    # of 2 rows Q_i, O_i, ℓ_i, m_i read (4) and O_i, ℓ_i, m_i written (3).
    assert traffic("flash", 2, 1, onchip_bytes=4, itemsize=1) == 6 + 2 * (2 + 2 * 7)
    # Backward, on top: zeros (6); each column K_j, V_j read, dK_j, dV_j written (4), each row 6 read and 1 written.
    both = traffic("flash", 2, 1, onchip_bytes=4, itemsize=1, direction="fwd+bwd")
    assert both == 38 + 6 + 2 * (4 + 2 * 7)
    assert traffic("flash", 2, 1, onchip_bytes=8, itemsize=2, heads=3) == 6 * 38


def test_the_slopes_of_theorem_2():
    sizes = [2**i for i in range(14, 19)]
    assert slope(
        sizes, [traffic("flash", 4096, 64, onchip_bytes=M, itemsize=4) for M in sizes]
    ) == pytest.approx(-1, abs=0.05)
    lengths = [1024, 2048, 4096, 8192]
    for name in ("flash", "standard"):
        moved = [traffic(name, N, 64, onchip_bytes=32768, itemsize=4) for N in lengths]
        assert slope(lengths, moved) == pytest.approx(2, abs=0.06)
    heads = [32, 64, 128]  # M well above d: Θ(N²d²/M)
    assert slope(
        heads, [traffic("flash", 4096, d, onchip_bytes=65536, itemsize=4) for d in heads]
    ) == pytest.approx(2, abs=0.1)


def test_what_recomputes_of_figure_2():
    def gigabytes(name):
        return (
            traffic(name, 1024, 64, onchip_bytes=192 * 1024, itemsize=2, direction="fwd+bwd", heads=1024)
            / 1e9
        )

    assert gigabytes("standard") == pytest.approx(25.2, abs=0.05)  # 40.3 in the paper
    assert gigabytes("flash") == pytest.approx(4.6, abs=0.05)  # 4.4 in the paper


def test_block_sizes():
    assert block_sizes(98304, 64) == (64, 384)
    assert block_sizes(256, 64) == (1, 1)
    with pytest.raises(ValueError, match="255 numbers on the chip do not hold"):
        block_sizes(255, 64)
