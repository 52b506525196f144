"""Softmax, its logarithm and its top-k by the Numba kernels: tensors in, tensors out, with gradients.

Numba is imported by the first call. Rows may lie anywhere, a last dimension with gaps is copied. The first call with a
dtype compiles, for a second or two, and keeps the result in the cache folder for later processes. Threads: see
tensors.py.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from ...addresses import have_addresses, is_plain, refuse_tangents
from ..differentiable import differentiable, differentiable_log_softmax, differentiable_logsumexp
from ..operations import needs_gradient
from ..operator import operator, topk_operator
from .tensors import compute, topk_rows


def safe(x: Tensor, dim: int = -1) -> Tensor:
    """Algorithm 2 in three loops, which compute each exponential once.

    Arguments as in `operations.safe`, on the CPU.
    Returns: probabilities, like x. Differentiable, twice if need be.
    Raises Refused: another device or dtype; or there is no Numba.
    """
    return _softmax("safe-numba", x, dim)


def online(x: Tensor, dim: int = -1) -> Tensor:
    """Algorithm 3 over blocks: two loads and one store for each element, and each exponential twice; see `safe`."""
    return _softmax("online-numba", x, dim)


def rescaled(x: Tensor, dim: int = -1) -> Tensor:
    """Algorithm 3 over blocks, with each exponential once: it is kept, and rescaled block by block; see `safe`."""
    return _softmax("online-rescaled-numba", x, dim)


def two_pass(x: Tensor, dim: int = -1) -> Tensor:
    """Mantissas and exponents apart, which takes no maximum (Dukhan & Ablavatski, arXiv:2001.04438); see `safe`."""
    return _softmax("two-pass-numba", x, dim)


def safe_log_softmax(x: Tensor, dim: int = -1) -> Tensor:
    """The logarithm of softmax, its maximum in a pass of its own; see `safe` and `logarithms.log_softmax`."""
    return _log_softmax("safe-numba", x, dim)


def online_log_softmax(x: Tensor, dim: int = -1) -> Tensor:
    """The logarithm of softmax, m and d in one pass; see `safe` and `logarithms.log_softmax`."""
    return _log_softmax("online-numba", x, dim)


def safe_logsumexp(x: Tensor, dim: int = -1) -> Tensor:
    """log Σ e^x, its maximum in a pass of its own; see `safe` and `logarithms.logsumexp`."""
    return _logsumexp("safe-numba", x, dim)


def online_logsumexp(x: Tensor, dim: int = -1) -> Tensor:
    """log Σ e^x in one pass; see `safe` and `logarithms.logsumexp`."""
    return _logsumexp("online-numba", x, dim)


def online_topk(x: Tensor, k: int, dim: int = -1) -> tuple[Tensor, Tensor]:
    """Algorithm 4 of Milakov & Gimelshein: one pass over x, which never writes the softmax.

    Arguments and returns as in `topk.online_topk`. With gradients, or under vmap, the kernel finds the columns only, and softmax is
    written after all.

    Raises:
        ValueError: k is larger than the size of `dim`.
        Refused: as `safe`.
    """
    if not x.dim():
        v, z = online_topk(x[None], k)
        return v[0], z[0]
    if k > x.shape[dim]:
        raise ValueError(f"k = {k} of only {x.shape[dim]} columns")
    refuse_tangents("top-k online-numba", "online", x)
    is_plain = have_addresses(x)
    with torch.no_grad():
        search = topk_rows if is_plain else topk_operator
        v, z = (found.movedim(-1, dim) for found in search(x.detach().movedim(dim, -1), k))
    return (rescaled(x, dim).gather(dim, z) if needs_gradient(x) or not is_plain else v.to(x.dtype)), z


def first_call_seconds(name: str, output: str, dtype: torch.dtype) -> float:
    """How long a kernel's first call takes in this process: compiling it, or loading it from the cache folder.

    Args:
        name: as in the registry, such as "safe-numba".
        output: "softmax", "log-softmax", "logsumexp" or "top-k".
    """
    import time

    begin = time.perf_counter()
    x = torch.zeros(1, 1, dtype=dtype, device="cpu")
    if output == "top-k":
        online_topk(x, 1)
    else:
        {"softmax": _softmax, "log-softmax": _log_softmax, "logsumexp": _logsumexp}[output](name, x, -1)
    return time.perf_counter() - begin


def _softmax(name: str, x: Tensor, dim: int) -> Tensor:
    if is_plain(x):
        return compute("softmax", name, x, dim)
    refuse_tangents(f"softmax {name}", "online", x)
    if torch.compiler.is_compiling():
        return operator(x, dim, "softmax", name)
    return differentiable(partial(_computed, "softmax", name), x, dim)


def _log_softmax(name: str, x: Tensor, dim: int) -> Tensor:
    if is_plain(x):
        return compute("log-softmax", name, x, dim)
    refuse_tangents(f"log-softmax {name}", "online", x)
    if torch.compiler.is_compiling():
        return operator(x, dim, "log-softmax", name)
    return differentiable_log_softmax(partial(_computed, "log-softmax", name), x, dim)


def _logsumexp(name: str, x: Tensor, dim: int) -> Tensor:
    if is_plain(x):
        return compute("logsumexp", name, x, dim)
    refuse_tangents(f"logsumexp {name}", "online", x)
    if torch.compiler.is_compiling():
        return operator(x, dim, "logsumexp", name)
    return differentiable_logsumexp(partial(_computed, "logsumexp", name), rescaled, x, dim)


def _computed(output: str, name: str, x: Tensor, dim: int) -> Tensor:
    return compute(output, name, x, dim) if have_addresses(x) else operator(x, dim, output, name)
