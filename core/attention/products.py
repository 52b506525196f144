"""PyTorch's products by oneDNN: what is timed stays as PyTorch ships it, unless an experiment asks.

The whole process is set to it and back around each call, since nothing less reaches `bmm` and `baddbmm`, which write
where attention wants it. The setting is named after bfloat16, to which it lets oneDNN round. Processors without units for
that compute in float32, at up to twice MKL's rate on AMD's with AVX-512.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from typing import Any, TypeVar

import torch

from ..measure.compared_products import ALLOWED
from ..trial import Refused
from .params import Params

Result = TypeVar("Result")


def by(params: Params, device: str) -> Callable[[Callable[[], Result]], Callable[[], Result]]:
    """Makes of a function one with its products done as `params.products` says.

    Raises Refused: another dtype or device; oneDNN cannot be reached here, or rounds float32.
    """

    def decorated(function: Callable[[], Result]) -> Callable[[], Result]:
        @wraps(function)
        def inside() -> Result:
            with by_onednn():
                return function()

        return inside

    if params.products == "pytorch":
        return lambda function: function
    if params.dtype != "float32" or device != "cpu":
        raise Refused(f"products=onednn is for float32 on a CPU, not for {params.dtype} on {device}")
    if why := why_not():
        raise Refused(f"products=onednn: {why}")
    return decorated


@contextmanager
def by_onednn() -> Iterator[None]:
    """Inside, PyTorch takes float32 products to oneDNN where it can; in all threads."""
    onednn: Any = torch.backends.mkldnn
    setting = onednn.matmul
    before = setting.fp32_precision
    setting.fp32_precision = "bf16"
    try:
        yield
    finally:
        setting.fp32_precision = before


@cache
def why_not() -> str:
    """Why oneDNN cannot do float32 products in PyTorch's operations here; empty where it can."""
    if not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()):  # type: ignore[no-untyped-call]
        return "PyTorch takes bmm there on processors with AVX-512 only"
    make = torch.Generator("cpu").manual_seed(0)
    a, b = torch.randn(2, 2, 256, 256, generator=make, dtype=torch.float32, device="cpu")
    times = error_by_onednn(a, b) / error(torch.bmm(a, b), a, b)
    return "" if times <= ALLOWED else f"its error here is {times:,.0f} times that of PyTorch's default"


def error_by_onednn(a: torch.Tensor, b: torch.Tensor) -> float:
    with by_onednn():
        return error(torch.bmm(a, b), a, b)


def error(found: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> float:
    """The root of the mean square of the errors of a batch of products against float64."""
    return float((found.double() - a.double() @ b.double()).square().mean().sqrt())
