"""Inputs that every kernel must get right, and what right is: the rule against float64, and torch's infinities and NaNs."""

import math

import torch
from hypothesis import strategies as st

from lab.core.measure.correctness import compare
from lab.core.softmax import logarithms, operations
from lab.core.softmax.topk import safe_topk

STANDARD = {
    "softmax": operations.safe,
    "log-softmax": logarithms.safe_log_softmax,
    "logsumexp": logarithms.safe_logsumexp,
}
TRUTH = {"softmax": torch.softmax, "log-softmax": torch.log_softmax, "logsumexp": torch.logsumexp}
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def normal(*shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def right(output, function, x, dim=-1, k=3):
    """Hold function(x, dim), or function(x, k, dim) for top-k, to the rule; x must not change."""
    before = x.clone()
    case = f"{output} over {dim} of {tuple(x.shape)} {x.stride()} {x.dtype}"
    if output == "top-k":
        _right_topk(case, function, x, min(k, x.shape[dim] if x.dim() else 1), dim)
    else:
        found, truth = function(x, dim), TRUTH[output](x.double(), dim)
        if x.numel():
            least_size = 0.0 if output == "softmax" else 1.0
            compare(case, found, STANDARD[output](x, dim), truth, least_size=least_size)
        else:
            torch.testing.assert_close(found, truth.to(x.dtype), rtol=0, atol=0)
    torch.testing.assert_close(x, before, rtol=0, atol=0, equal_nan=True)


def _right_topk(case, function, x, k, dim):
    (values, columns), truth = function(x, k, dim), torch.softmax(x.double(), dim)
    expected = truth.topk(k, dim).values
    assert columns.shape == expected.shape and columns.dtype == torch.int64
    if not columns.numel():
        assert values.shape == expected.shape
        return
    standard = safe_topk(x, k, dim)[0]
    compare(case, values, standard, expected)
    compare(case, truth.gather(dim, columns).to(x.dtype), standard, expected)  # the columns are those
    assert not x.dim() or (columns.sort(dim).values.diff(dim=dim) > 0).all()


def inputs(dtype, lengths, long=()):
    """(x, dim): every length in every place, every layout.

    Args:
        lengths: of the dimension that sums to one.
        long: lengths that come as one row and as a few only.
    """
    for n in lengths:
        for shape, dim in (((n,), -1), ((3, n), -1), ((n, 3), 0), ((2, 3, n, 4), 2), ((2, 3, 4, n), -1)):
            yield normal(*shape, dtype=dtype, seed=n).mul(3), dim
    for n in long:
        yield normal(n, dtype=dtype), 0
        yield normal(n, 2, dtype=dtype), 0
    yield normal(dtype=dtype), -1
    yield normal(dtype=dtype), 0
    wide = normal(4, 6, 5, 66, dtype=dtype)
    layouts = {
        "a part of each row": wide[1:, ::2, :, 3:50],
        "strided": wide[..., ::3],
        "transposed": wide.transpose(1, 3),
        "permuted": wide.permute(3, 1, 0, 2),
        "the same row again": wide[:1].expand(3, -1, -1, -1),
        "the same number again": wide[..., :1].expand(-1, -1, -1, 70),
        "columns of one": wide[..., :1],
    }
    for x in layouts.values():
        for dim in (-1, 1, 0):
            yield x, dim


def spoilt(dtype, columns):
    """Rows of so many columns, at least 40, with −∞, +∞ and NaN at the ends, inside and everywhere."""
    x = normal(13, columns, dtype=dtype)
    last = columns - 1
    x[0, 0] = x[1, last] = x[2, last // 2] = -math.inf
    x[3, :-1] = x[4, 1:] = x[5, ::2] = -math.inf  # whole blocks of nothing before and after something
    x[6] = -math.inf
    x[7, 17] = x[8, 0] = x[9, last] = math.inf
    x[8, last] = x[9, 0] = -math.inf
    x[10, last] = math.nan
    x[11, 3] = -math.nan
    x[12, 5], x[12, last - 9] = math.inf, -math.nan
    return x


EMPTY = [
    ((0, 5), -1),
    ((0, 5), 0),
    ((3, 0), -1),
    ((3, 0), 0),
    ((2, 0, 4), 1),
    ((2, 0, 4), 2),
    ((0,), 0),
    ((0, 0), 1),
]
"""(shape, dim): no rows, no columns, or neither."""


@st.composite
def tensors(draw, longest=9):
    """(x, dim) of any shape, in any order of dimensions, and maybe with gaps."""
    shape = draw(st.lists(st.integers(0, longest), min_size=1, max_size=4))
    x = normal(*shape, dtype=draw(st.sampled_from(DTYPES)), seed=draw(st.integers(0, 99)))
    x = x.permute(*draw(st.permutations(range(x.dim()))))
    for dim in range(x.dim()):
        x = x[(slice(None),) * dim + (slice(draw(st.integers(0, 2)), None, draw(st.integers(1, 3))),)]
    return x, draw(st.integers(-x.dim(), x.dim() - 1))
