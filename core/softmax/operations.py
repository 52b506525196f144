"""Softmax in PyTorch operations: naive, safe, eager and online, for any shape, dimension and floating dtype.

All are differentiable, twice if need be; without gradients they work in place and allocate their result and little
else. The symbols are those of Milakov & Gimelshein (arXiv:1805.02867): m the maximum, d the normalizer.

Results follow the mathematics: an entry of −∞ gets probability 0. A row of nothing but −∞, or one with +∞ or
NaN in it, is NaN everywhere, as with `torch.softmax`. A dimension of size 0 gives an empty result.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..trial import Refused

BLOCK = 4096
"""Columns per block. Measured in float32 on one thread, 256 × 32,000 and 64 × 256,000: against 4096, blocks of 1024
took 1.1–1.4 times as long and 16,384 the same within noise. Tiles of rows × columns small enough for the L2 cache were
no faster either (0.95–1.25): six calls a tile cost as much as the cache saves."""


def check_floating(x: Tensor) -> None:
    """Raise Refused unless x is of floating point: whole numbers would be divided and rounded silently."""
    if not x.is_floating_point():
        raise Refused(f"softmax takes floating point, not {str(x.dtype).removeprefix('torch.')}")


def naive(x: Tensor, dim: int = -1) -> Tensor:
    """Algorithm 1: e^x / Σ e^x, in x's own dtype throughout.

    Arguments as in `safe`.
    Returns: probabilities, like x. NaN where e^x overflows: from 11.1 in float16, 88.7 in float32, 89 in
    bfloat16, 709.8 in float64.
    """
    check_floating(x)
    e = x.exp()
    return _divide(e, e.sum(dim, keepdim=True))


def safe(x: Tensor, dim: int = -1) -> Tensor:
    """Algorithm 2: e^(x − m) / Σ e^(x − m), the form that every library uses.

    Args:
        x: logits of any shape; float16, bfloat16, float32 or float64.
        dim: the dimension that sums to one.
    Returns: probabilities, like x. In half precision the sum is kept in float32: 65,505 equal logits already
    sum to more than float16 can hold.
    """
    check_floating(x)
    if x.numel() == 0:
        return torch.empty_like(x)
    m = x.detach().amax(
        dim, keepdim=True
    )  # a constant to the gradient: shifting x does not change the result
    e = (x - m).exp_()
    return _divide(e, e.sum(dim, keepdim=True, dtype=accumulator(x.dtype)))


def eager(x: Tensor, dim: int = -1) -> Tensor:
    """Algorithm 2 written out, an operator and a new tensor for each step: max, sub, exp, sum, div.

    Reads 5 and writes 3 numbers for each element, and 2 and 2 for each row, as Triton's tutorial on fused softmax counts.
    `safe` makes the same accesses in the memory of its result.
    """
    check_floating(x)
    if x.numel() == 0:
        return torch.empty_like(x)
    m = x.detach().amax(dim, keepdim=True)
    z = x - m
    numerator = z.exp()
    denominator = numerator.sum(dim, keepdim=True, dtype=accumulator(x.dtype))
    return (numerator / denominator).to(x.dtype)


def online(x: Tensor, dim: int = -1, *, block: int = BLOCK) -> Tensor:
    """Algorithm 3 with blocks of columns for elements: one pass finds m and d, a second one normalises.

    The first pass leaves e^(x − m so far) in the result and the second multiplies each block by e^(m then − m) / d,
    so each exponential is taken once. Taking it again from x, as the paper does, took 1.2–1.8 times as long on a CPU
    (float32, one thread, 1,000 to 256,000 columns), because there the exponential costs more than the memory.

    A row no longer than one block is safe softmax. Each operator reads and writes its whole block, so between
    operators nothing is saved over `safe`, whatever the block; it takes a fused kernel to save the pass.

    Args:
        x, dim: as in `safe`.
        block: columns per block, at least 1.
    """
    check_floating(x)
    if needs_gradient(x):
        m, d = normalizer(x, dim, block=block)
        return ((x - m).exp_() / d).to(x.dtype)
    y = torch.empty_like(x)
    m, d = initial_state(x, dim)
    maxima = []
    for x_b, y_b in zip(blocks(x, dim, block), blocks(y, dim, block), strict=True):
        m_new = torch.maximum(m, x_b.detach().amax(dim, keepdim=True))
        e = torch.sub(x_b, m_new, out=y_b if y.dtype == m.dtype else None).exp_()
        d = d * (m - m_new).exp_() + e.sum(dim, keepdim=True)
        if e is not y_b:
            y_b.copy_(e)
        m = m_new
        maxima.append(m)
    for y_b, m_b in zip(blocks(y, dim, block), maxima, strict=True):
        y_b.mul_((m_b - m).exp_().div_(d))
    return y


def normalizer(x: Tensor, dim: int = -1, *, block: int = BLOCK) -> tuple[Tensor, Tensor]:
    """Lines 1–6 of Algorithm 3, with blocks of columns for elements.

    Arguments as in `online`.
    Returns: m and d, shaped like x with `dim` of size 1, in float32 for halves. m is a constant to the
    gradient: whatever is built of m and d, softmax, log-softmax or logsumexp, has the same value and slope
    for any m. Where nothing but −∞ was seen, m is the lowest finite number and d is 0.
    """
    m, d = initial_state(x, dim)
    for x_b in blocks(x, dim, block):
        m, d = absorb(m, d, x_b, dim)
    return m, d


def absorb(m: Tensor, d: Tensor, x_b: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Lines 4 and 5 of Algorithm 3: m and d once the block x_b has been seen as well."""
    m_new = torch.maximum(m, x_b.detach().amax(dim, keepdim=True))
    return m_new, d * (m - m_new).exp_() + (x_b - m_new).exp_().sum(dim, keepdim=True)


def accumulator(dtype: torch.dtype) -> torch.dtype:
    """The dtype for sums over a row: float32 for halves, else the dtype itself."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def needs_gradient(x: Tensor) -> bool:
    """Whether what is computed from x must be kept for a backward pass, which forbids overwriting it."""
    return x.requires_grad and torch.is_grad_enabled()


def blocks(x: Tensor, dim: int, block: int) -> tuple[Tensor, ...]:
    """Views of x, `block` wide along `dim`; none where there is nothing."""
    if x.numel() == 0:
        return ()
    return torch.split(x, block, dim) if x.dim() else (x,)


def initial_state(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """(m, d) of the online softmax before the first element, shaped like x with `dim` of size 1.

    The paper's −∞ would give −∞ − (−∞) = NaN at a masked element. The lowest finite number gives the same, since d is
    0 until the first finite element, and needs no special case in the loop.
    """
    check_floating(x)
    shape = list(x.shape)
    if shape:
        shape[dim] = 1
    dtype = accumulator(x.dtype)
    m = torch.full(shape, torch.finfo(dtype).min, dtype=dtype, device=x.device)
    return m, torch.zeros_like(m)


def _divide(e: Tensor, d: Tensor) -> Tensor:
    """e / d in e's dtype, in place where no gradient needs e."""
    return (e / d).to(e.dtype) if needs_gradient(e) else e.div_(d)
