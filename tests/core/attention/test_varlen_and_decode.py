"""Packed sequences beside each alone, and a cache of keys in parts beside the whole."""

import math

import pytest
import torch

from lab.core.attention import attention, attention_decode, attention_varlen, merge
from lab.core.attention.alibi import alibi_slopes


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def packed(of_q, of_k, heads=4, kv_heads=2, d=5, grad=False):
    cuts = [torch.tensor([0, *lengths]).cumsum(0) for lengths in (of_q, of_k)]
    tensors = [
        normal(int(cut[-1]), h, d, seed=i).requires_grad_(grad)
        for i, (cut, h) in enumerate(
            zip((cuts[0], cuts[1], cuts[1]), (heads, kv_heads, kv_heads), strict=True)
        )
    ]
    return tensors, cuts


SEQUENCES = [([76, 34, 146], [1, 1, 1]), ([5, 0, 9], [5, 3, 0]), ([7], [7]), ([3, 17, 1], [30, 2, 9])]


@pytest.mark.parametrize("of_q, of_k", SEQUENCES)
@pytest.mark.parametrize("name", ["standard", "flash"])
def test_each_sequence_is_as_if_it_were_alone(of_q, of_k, name):
    (q, k, v), (cu_q, cu_k) = packed(of_q, of_k, grad=True)
    kwargs = {
        "causal": True,
        "window_size": (4, 0),
        "softcap": 3.0,
        "sink": normal(4),
        "alibi_slopes": alibi_slopes(4),
    }
    output, lse = attention_varlen(q, k, v, cu_q, cu_k, return_lse=True, **kwargs, backend=name)
    assert output.shape == q.shape and lse.shape == (4, len(q))
    gradients = torch.autograd.grad(output.square().sum(), (q, k, v))
    for n in range(len(of_q)):
        rows, keys = slice(cu_q[n], cu_q[n + 1]), slice(cu_k[n], cu_k[n + 1])
        Q, K, V = (x[cut].transpose(0, 1)[None] for x, cut in ((q, rows), (k, keys), (v, keys)))
        alone, L = attention(Q, K, V, return_lse=True, **kwargs, backend="standard")
        torch.testing.assert_close(output[rows], alone[0].transpose(0, 1))
        torch.testing.assert_close(lse[:, rows], L[0])
        own = torch.autograd.grad(alone.square().sum(), (q, k, v))
        for gradient, expected, cut in zip(gradients, own, (rows, keys, keys), strict=True):
            torch.testing.assert_close(gradient[cut], expected[cut])


def test_packed_drops_what_a_padded_batch_drops():
    (q, k, v), (cu, _) = packed([6, 6, 6], [6, 6, 6])
    kwargs = {"causal": True, "dropout_p": 0.3, "dropout_seed": 9}
    found = attention_varlen(q, k, v, cu, **kwargs, backend="flash")
    batch = [x.view(3, 6, -1, 5).transpose(1, 2) for x in (q, k, v)]
    expected = attention(*batch, **kwargs, backend="standard").transpose(1, 2).flatten(0, 1)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    "cu, message",
    [
        ([0, 3, 5], r"cu_seqlens_q must rise from 0 to the 6 tokens of q, but is \[0, 3, 5\]"),
        ([0, 4, 2, 6], "must rise from 0 to the 6 tokens"),
        ([0, 6], "cu_seqlens_q has 1 sequences, but cu_seqlens_k 2"),
    ],
)
def test_lengths_that_do_not_fit(cu, message):
    (q, k, v), (_, cu_k) = packed([3, 3], [3, 3])
    with pytest.raises(ValueError, match=message):
        attention_varlen(q, k, v, torch.tensor(cu), cu_k)
    with pytest.raises(ValueError, match=r"packed it is \(tokens, heads, head_dim\)"):
        attention_varlen(q[None], k, v, cu_k)


SPLITS = [1, 2, 3, 5, 17, 32, 55, 97, 133]


@pytest.mark.parametrize("splits", SPLITS)
def test_a_cache_in_parts_is_the_whole(splits):
    q, k, v = normal(2, 6, 1, 8), normal(2, 2, 120, 8, seed=1), normal(2, 2, 120, 8, seed=2)
    for kwargs in ({}, {"softcap": 2.0, "sink": normal(6, seed=3)}):
        expected, L = attention(q, k, v, return_lse=True, **kwargs, backend="standard")
        found, lse = attention_decode(q, k, v, **kwargs, splits=splits)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(lse, L, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("splits", [1, 7, 133])
def test_a_cache_that_is_partly_filled(splits):
    q, k, v = normal(3, 4, 1, 8), normal(3, 2, 40, 8, seed=1), normal(3, 2, 40, 8, seed=2)
    lengths, slopes = torch.tensor([40, 13, 0]), alibi_slopes(4)
    found, lse = attention_decode(q, k, v, lengths=lengths, window=9, alibi_slopes=slopes, splits=splits)
    for b, length in enumerate(lengths.tolist()):
        alone = (q[b : b + 1], k[b : b + 1, :, :length], v[b : b + 1, :, :length])
        expected, L = attention(
            *alone, causal=True, window_size=9, alibi_slopes=slopes, return_lse=True, backend="standard"
        )
        torch.testing.assert_close(found[b], expected[0])
        torch.testing.assert_close(lse[b], L[0])
    assert not found[2].any() and lse[2].isneginf().all()


@pytest.mark.parametrize("window", [-1, None])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_alibi_of_a_cache_is_exact_in_any_dtype_and_no_window_bounds_nothing(window, dtype):
    """3,001 tokens back a slope times the distance is no number of half precision."""
    q, k, v = (normal(2, 4, n, 8, seed=i).to(dtype) for i, n in enumerate((1, 3002, 3002)))
    k[:, :, 1:] = 0
    lengths, slopes = torch.tensor([3002, 2900]), alibi_slopes(4) / 100
    for splits in (1, 4):
        found, lse = attention_decode(
            q, k, v, lengths=lengths, window=window, alibi_slopes=slopes.float(), splits=splits
        )
        for b, length in enumerate(lengths.tolist()):
            alone = (x[b : b + 1].double() for x in (q, k[:, :, :length], v[:, :, :length]))
            expected, L = attention(
                *alone, causal=True, alibi_slopes=slopes, return_lse=True, backend="standard"
            )
            torch.testing.assert_close(lse[b].double(), L[0], rtol=1e-5, atol=1e-5)
            eps = torch.finfo(dtype).eps
            torch.testing.assert_close(found[b].double(), expected[0], rtol=4 * eps, atol=2 * eps + 1e-9)


def test_no_element_gives_nothing():
    found, lse = attention_decode(normal(0, 4, 1, 8), normal(0, 2, 9, 8), normal(0, 2, 9, 8), splits=2)
    assert found.shape == (0, 4, 1, 8) and lse.shape == (0, 4, 1)


def test_merging_is_associative_and_has_a_neutral_element():
    parts = [(normal(5, 3, seed=i), normal(5, seed=10 + i) * 30) for i in range(3)]
    nothing = (torch.zeros(5, 3, dtype=torch.float64), torch.full((5,), -math.inf, dtype=torch.float64))

    def both(*pairs):
        return merge(*zip(*pairs, strict=True))

    left, right = both(both(*parts[:2]), parts[2]), both(parts[0], both(*parts[1:]))
    for a, b, c in zip(left, right, both(*parts[::-1], nothing), strict=True):
        torch.testing.assert_close(a, b)
        torch.testing.assert_close(a, c)
    assert not both(nothing, nothing)[0].any()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"q": normal(1, 2, 2, 8)}, "q has 2 queries; decoding is of one"),
        ({"splits": 0}, "splits is 0"),
        ({"lengths": torch.tensor([11])}, "lengths go from 11 to 11; the cache has 10"),
        ({"lengths": torch.tensor([1, 2])}, r"lengths is of shape \(2,\) and int64"),
        ({"lengths": torch.tensor([True])}, r"lengths is of shape \(1,\) and bool"),
        ({"lengths": [3]}, "lengths is list; it must be a tensor of whole numbers"),
        ({"k": normal(1, 2, 0, 8), "v": normal(1, 2, 0, 8), "lengths": torch.tensor([2])}, "the cache has 0"),
        ({"window": -2}, "window is -2; it is a number of keys, -1 or None for all"),
        ({"window": 1.5}, "window is 1.5; it must be a whole number"),
        ({"alibi_slopes": torch.ones(3)}, r"alibi_slopes has shape \(3,\)"),
    ],
)
def test_what_does_not_fit(changes, message):
    kwargs = {"q": normal(1, 2, 1, 8), "k": normal(1, 2, 10, 8), "v": normal(1, 2, 10, 8)} | changes
    with pytest.raises(ValueError, match=message):
        attention_decode(**kwargs)
