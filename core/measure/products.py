"""The libraries that multiply matrices on this machine's processor, by name.

* PyTorch's own BLAS, by the name of its build: "mkl", "openblas", "accelerate", …
* "onednn", which stands in the same wheel. PyTorch takes its `mm` there in half precision only, and for float32 under
  `set_float32_matmul_precision("medium")`, which holds for the whole process, does nothing on a processor without AVX-512
  and rounds to bfloat16 on one with AMX. The operator that PyTorch's compiler calls for a linear layer reaches it on every
  processor, changes nothing outside of the call and leaves float32 as it is.

* "ours", compiled by Numba (`core/compiled/products`).

On AMD's processors MKL leaves half of AVX-512 unused, so that oneDNN is up to twice as fast there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import torch
from torch import Tensor

from ..compiled.code import refuse_without_numba
from ..trial import Refused

DTYPES = (torch.float32, torch.float64, torch.bfloat16)

Multiply = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""(m, k) and (k, n) to (m, n), of any strides. The third may be used as memory for the result: contiguous (m, n), or None."""

_BUILDS = {"open": "openblas", "accelerate": "accelerate", "mkl": "mkl", "atlas": "atlas", "blis": "blis"}


@dataclass(frozen=True)
class Library:
    """A way to multiply.

    Attributes:
        name: as in "mkl", "onednn".
        multiply: the product; no gradients follow from it.
        width: bits of the vectors it uses, None where it does not say.
    """

    name: str
    multiply: Multiply
    width: int | None


@cache
def libraries(dtype: torch.dtype) -> Mapping[str, Library]:
    """What multiplies in this dtype here, PyTorch's default first; each has done a small product."""
    default = default_library(dtype)
    found = [
        Library(default, _by_torch, _widest() if default == "onednn" else None),
        Library("onednn", _by_onednn, _widest()),
        *([Library("ours", _by_ours, _our_width())] if dtype is torch.float32 and _has_numba() else []),
    ]
    works: dict[str, Library] = {}
    for library in found:
        if _multiplies(library.multiply, dtype):
            works.setdefault(library.name, library)
    return MappingProxyType(works)


def default_library(dtype: torch.dtype) -> str:
    """The name of the library that `torch.mm` calls in this dtype."""
    if dtype is torch.bfloat16 and _has_onednn() and torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return "onednn"
    build = re.search(r"BLAS_INFO=(\w+)", torch.__config__.show())
    return _BUILDS.get(build[1], build[1]) if build else "torch"


def _by_torch(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    return torch.mm(a, b) if out is None else torch.mm(a, b, out=out)


def _by_onednn(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """It has no way to write into `out`, and copies its first operand where the rows of that are not contiguous."""
    (m, k), n = a.shape, b.shape[1]
    if not k:  # a sum of nothing, for which it has no kernel
        return a.new_zeros(m, n)
    multiply: Callable[..., Tensor] = torch.ops.mkldnn._linear_pointwise
    if a.stride(1) != 1 and n * (k + m) < m * k and 0 not in a.stride():
        # (Bᵀ·Aᵀ)ᵀ: a copy of B, and of the result, is smaller than one of A.
        return multiply(b.t(), a, None, "none", [], "").t().contiguous()
    return multiply(a, b.t(), None, "none", [], "")


def _by_ours(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    from ..compiled.matrices import multiplied

    return multiplied(a, b, out, torch.get_num_threads())


def _has_onednn() -> bool:
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _has_numba() -> bool:
    try:
        refuse_without_numba("our product")
    except Refused:
        return False
    return True


def _our_width() -> int:
    from ..compiled.vectors import LANES

    return 32 * LANES


def _widest() -> int | None:
    """Bits of the widest vectors that PyTorch finds here; oneDNN finds the same."""
    capability = torch.backends.cpu.get_cpu_capability()
    widths = {"AVX512": 512, "AVX2": 256, "NEON": 128, "SVE256": 256, "SVE128": 128}
    return widths.get(capability)


def _multiplies(multiply: Multiply, dtype: torch.dtype) -> bool:
    """Whether it takes this dtype on this processor: oneDNN has no float64, and bfloat16 not everywhere."""
    with torch.no_grad():
        a, b = torch.ones(3, 5, dtype=dtype, device="cpu"), torch.ones(5, 2, dtype=dtype, device="cpu")
        try:
            found = multiply(a, b, None)
        except (RuntimeError, AttributeError):
            return False
    return bool((found == 5).all())
