"""The emulated arithmetic of the flash-attention papers, against float64 and against counts made by hand."""

# ruff: noqa: E741 — O is the papers' symbol

import pytest
import torch

from lab.core.attention.precision.chunked import chunked
from lab.core.attention.precision.chunked import standard as whole
from lab.core.attention.precision.counted import flash_1, flash_2
from lab.core.attention.precision.formats import E4M3, hadamard, incoherent, quantised, rounded
from lab.core.attention.precision.tiles import Arithmetic, flash, standard


def heads(n=96, d=16, spread=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    Q, K, V = (torch.randn(n, d, generator=generator, dtype=torch.float64) for _ in range(3))
    return spread * Q, K, V


def test_hadamard_is_orthogonal_and_leaves_scores_alone():
    H = hadamard(16, torch.float64)
    assert torch.equal(H @ H.mT, torch.eye(16, dtype=torch.float64))  # 1/√16 is exact
    Q, K, _ = heads()
    Q_M, K_M = incoherent(Q, K, torch.Generator().manual_seed(1))
    torch.testing.assert_close(Q_M @ K_M.mT, Q @ K.mT, rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="powers of two, not for 12"):
        hadamard(12)


def test_quantised_is_within_half_a_unit_and_blocks_have_their_own_scale():
    x = heads()[0]
    smallest = x.abs().amax() / 448 * 2**-10  # half of e4m3's smallest step
    assert ((quantised(x) - x).abs() <= torch.maximum(x.abs() * 2**-4, smallest)).all()
    x[0, 0] = 1e4  # only the first block loses by it
    assert torch.equal(quantised(x, rows=32)[32:], torch.cat([quantised(part) for part in x[32:].split(32)]))
    assert (quantised(x, rows=32) - x)[32:].abs().mean() < (quantised(x) - x)[32:].abs().mean()


def test_fp8_saturates_beyond_448_only():
    x = torch.tensor([447.0, 448.0, 4096.0, -4096.0])
    assert rounded(x, E4M3).tolist() == [448.0, 448.0, 448.0, -448.0]
    assert rounded(torch.tensor([240.0]), E4M3).item() == 240


@pytest.mark.parametrize("τ", [0.0, 4.0, 8.0, 12.0])
def test_every_algorithm_is_exact_in_float64(τ):
    Q, K, V = heads(spread=8.0)
    truth = torch.softmax(Q @ K.mT / 4, -1) @ V
    for O in (
        standard(Q, K, V),
        flash(Q, K, V, Arithmetic(keys=20, τ=τ)).O,
        flash_1(Q, K, V, 20).O,
        flash_2(Q, K, V, 20).O,
        chunked(Q, K, V, queries=40, keys=36),
        whole(Q, K, V),
    ):
        torch.testing.assert_close(O, truth, rtol=1e-12, atol=1e-12)


def test_divisions_and_rescalings_counted_by_hand():
    Q, K, V = heads(n=12, d=4)  # three tiles of four keys, 48 numbers of O
    first, second = flash_1(Q, K, V, 4), flash_2(Q, K, V, 4)
    assert (first.divisions, second.divisions) == (3 * 48, 48)
    assert (first.rescalings, second.rescalings) == (2 * 3 * 48, 3 * 48)


def test_skipped_rescalings_counted_by_hand():
    Q, V = torch.ones(1, 1, dtype=torch.float64), torch.ones(4, 1, dtype=torch.float64)
    K = torch.tensor([0.0, 3.0, 3.0, 20.0], dtype=torch.float64)[:, None] / torch.log2(
        torch.tensor(torch.e, dtype=torch.float64)
    )
    # Tiles of one key: the maximum grows by 3, 0 and 17 powers of two.
    assert [flash(Q, K, V, Arithmetic(keys=1, τ=τ)).skipped for τ in (0.0, 2.5, 8.0, 21.0)] == [1, 1, 2, 3]
    found = flash(Q, K, V, Arithmetic(keys=1, τ=8.0))
    assert found.rescalings == 3 and found.largest == pytest.approx(8)


def test_largest_p_is_bounded_by_threshold_and_offset():
    Q, K, V = heads(n=512, spread=4.0)
    assert flash(Q, K, V, Arithmetic(keys=32, τ=4.0, offset=8.0)).largest <= 4096
    assert flash(Q, K, V, Arithmetic(keys=32, τ=4.0, offset=4.0)).largest <= 256


def test_chunked_has_the_gradients_of_standard():
    inputs = [x.requires_grad_() for x in heads()]
    ours = torch.autograd.grad(chunked(*inputs, queries=40, keys=36).sin().sum(), inputs)
    theirs = torch.autograd.grad(whole(*inputs).sin().sum(), inputs)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
