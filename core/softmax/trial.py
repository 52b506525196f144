"""One point of an experiment about softmax: an implementation on one matrix of logits.

Importing this costs no torch: the command line reads `Params` before anything heavy is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .. import trial
from .params import Params
from .user_function import refusing, takes_dim

if TYPE_CHECKING:
    from torch import Tensor

    from .registry import Implementation

__all__ = ["Params", "case", "kernels"]

REFERENCE_COLUMNS = 1024
"""Above this a reference implementation refuses: a column takes Python some 40 µs, so 128,000 would take 5 s a call."""


def case(params: Params, context: trial.Context) -> trial.Case:
    """One implementation on one matrix of normal logits, the same for all variants of a seed.

    Raises Refused: the implementation is unknown or does not do this.
    """
    import torch

    from .battery import Task

    name = params.implementation or context.variant
    if params.output == "top-k" and params.k > params.columns:
        raise trial.Refused(f"k = {params.k} of only {params.columns} columns")
    if ":" in name:
        function, built_in = context.load(name), None
        task = Task(params.output, params.k, refusing(function), takes_dim=takes_dim(function))
    else:
        built_in = _built_in(name, params)
        task = Task(params.output, params.k, built_in.function)

    if params.threads:
        torch.set_num_threads(params.threads)
    x = logits(params.rows, params.columns, params.dtype, params.scale, context.seed, context.device)

    def call() -> object:
        return task(x)

    def check() -> Mapping[str, float]:
        from . import battery, properties

        first = _first_call(name, params)
        metrics = first | battery.check(task, x, stable=params.stable)
        # A reference computes in float64, so where it overflows says nothing about this dtype.
        if built_in is None or built_in.count is None:
            overflow = properties.overflow_logit(task, x.dtype, x.device)
            metrics |= {} if overflow is None else {"overflow_logit": overflow}
        if built_in is not None:
            metrics |= _counted(built_in, call, x, params)
        return metrics | _properties(name, params.output, x.dtype, context.seed)

    return trial.Case(call, check, _least_work(params, getattr(torch, params.dtype).itemsize))


def kernels(params: Params) -> Sequence[trial.Kernel]:
    """The one of an implementation in Numba, for the dtype of the logits."""
    name = params.implementation or ""
    if not name.endswith("-numba"):
        return ()

    def call(dtype: str = params.dtype) -> None:
        import torch

        from .numba.backend import first_call_seconds

        first_call_seconds(name, params.output, getattr(torch, dtype))

    found = [trial.Kernel(f"{params.output} {name} {params.dtype}", f"{params.dtype} kernels", 1.0, call)]
    return found


def _first_call(name: str, params: Params) -> dict[str, float]:
    """Of what is compiled on first use: the seconds that this takes, or loading what an earlier process compiled."""
    from .registry import NUMBA

    if name not in NUMBA:
        return {}
    import torch

    from .numba.backend import first_call_seconds

    return {"first_call": first_call_seconds(name, params.output, getattr(torch, params.dtype))}


def _properties(name: str, output: str, dtype: Any, seed: int) -> dict[str, float]:
    """What is worth knowing of one implementation only."""
    from . import exp2, properties

    if name == "reference-merge":
        return {"merge_ulp": properties.merge_ulp(dtype, seed)}
    if name == "safe-numba" and output == "softmax":
        return {"exp_error": properties.exponential_error()}
    if name in exp2.DEGREES:
        accuracy = exp2.accuracy(exp2.DEGREES[name])
        return {
            "exp_error": accuracy.largest_relative_error,
            "exp_error_bfloat16": accuracy.largest_in_bfloat16,
        }
    return {}


def _built_in(name: str, params: Params) -> Implementation:
    from .registry import find

    found = find(name, params.output)
    if found.count is not None:  # a reference
        if params.columns > REFERENCE_COLUMNS:
            raise trial.Refused(f"one element at a time: at most {REFERENCE_COLUMNS:,} columns")
        if params.dtype in ("float16", "bfloat16"):
            raise trial.Refused(
                "computes in Python's floats: of half precision it would only show the last rounding"
            )
    return found


@lru_cache(maxsize=1)
def logits(rows: int, columns: int, dtype: str, scale: float, seed: int, device: str) -> Tensor:
    """(rows, columns), drawn where they are needed, and once for all variants that a process times."""
    import torch

    generator = torch.Generator(device).manual_seed(seed)
    x = torch.randn(rows, columns, generator=generator, device=device, dtype=torch.float32)
    return x.mul_(scale).to(getattr(torch, dtype))


def _counted(
    implementation: Implementation, call: Callable[[], object], x: Tensor, params: Params
) -> dict[str, float]:
    """Accesses and exponentials per element, found by running.

    For a reference those of the algorithm on the first row; for a chain of operators what each operator reads and
    writes. Inside a compiled kernel nothing can be seen.
    """
    from ..measure.traffic import operator_traffic

    if implementation.count is not None:
        row = x[0].tolist()
        counts = implementation.count(row, params.k)
        return {
            "accesses_per_element": (counts.loads + counts.stores) / len(row),
            "loads_per_element": counts.loads / len(row),
            "stores_per_element": counts.stores / len(row),
            "exps_per_element": counts.exps / len(row),
        }
    if not implementation.is_kernel:
        traffic = operator_traffic(call)
        return {
            "operator_accesses_per_element": (traffic.elements_read + traffic.elements_written) / x.numel(),
            "exps_per_element": sum(traffic.written_by.get(name, 0) for name in ("exp", "exp_")) / x.numel(),
        }
    return {}


def _least_work(params: Params, itemsize: int) -> dict[str, float]:
    """Reading the logits once and writing the result once."""
    elements = params.rows * params.columns
    written = {
        "softmax": elements * itemsize,
        "log-softmax": elements * itemsize,
        "logsumexp": params.rows * itemsize,
        "top-k": params.rows * params.k * (itemsize + 8),  # a column is an int64
    }[params.output]
    return {"bytes": float(elements * itemsize + written), "elements": float(elements)}
