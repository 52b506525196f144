"""One point of an experiment about attention: an implementation on one q, k and v.

Importing this costs no torch: the command line reads `Params` before anything heavy is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from .. import trial
from .params import Params

if TYPE_CHECKING:
    from torch import Tensor

    from .checks.battery import Function

__all__ = ["Params", "case", "kernels"]

COMPILED = ("flash-numba", "flash-triton")
"""Backends whose first call compiles, or loads what an earlier process compiled."""
FIRST = 32
"""Queries of the first call: for fewer there is another kernel, `numba.decode`."""
SHAPES_UP_TO = 512
"""Points no longer than this run the small shapes as well. They say the same at every length; only a user's function
runs them everywhere, so that one which is wrong there is timed nowhere."""


def case(params: Params, context: trial.Context) -> trial.Case:
    """One implementation on normal q, k and v, the same for all variants of a seed.

    Raises Refused: the implementation is unknown or does not do this.
    """
    from . import from_params, products, work
    from .arguments import check_inputs
    from .checks import battery
    from .checks.shapes import SHAPES

    backward = params.direction == "fwd+bwd"
    if backward and params.longest_backward is not None and params.seq_len > params.longest_backward:
        raise trial.Refused(
            f"gradients only up to {params.longest_backward:,}, to save time; longer: -s longest_backward=…"
        )
    name = params.implementation or context.variant
    function, kernel = _found(name, context)
    kv_heads, keys = params.kv_heads or params.heads, params.keys or params.seq_len
    q, k, v = _inputs(
        (params.batch, params.heads, params.seq_len, params.head_dim),
        (params.batch, kv_heads, keys, params.head_dim),
        params.dtype,
        context.seed,
        context.device,
    )
    check_inputs(q, k, v)
    options = from_params.options_of(params, context.device)
    if params.as_mask:
        function = from_params.as_mask(function)
    elif params.sequences:
        if ":" in name:
            raise trial.Refused("only backends take packed sequences; as_mask=true gives them as a mask")
        function = from_params.packed(from_params.lengths(params), name)
    if backward:
        q, k, v = (x.detach().requires_grad_() for x in (q, k, v))
    by_products = products.by(params, context.device)

    @by_products
    def call() -> object:
        output = function(q, k, v, options)
        output = output[0] if isinstance(output, tuple) else output
        if not backward:
            return output
        import torch

        return torch.autograd.grad(output, (q, k, v), q.detach())

    @by_products
    def check() -> Mapping[str, float]:
        first = {"first_call": _first_call(name, q, k, v, backward)} if name in COMPILED else {}
        metrics = first | battery.check(
            function,
            q.detach(),
            k.detach(),
            v.detach(),
            options,
            gradients=backward,
            shapes=SHAPES if params.shapes and (":" in name or params.seq_len <= SHAPES_UP_TO) else (),
        )
        return metrics | work.counted(name, params)

    return trial.Case(call, check, work.least_work(name, params), kernel and partial(kernel, call))


def kernels(params: Params) -> Sequence[trial.Kernel]:
    """What `flash-numba` runs."""
    if params.implementation != "flash-numba":
        return ()
    from .kernels import kernels_of

    return kernels_of(backward=params.direction == "fwd+bwd")


def _found(
    name: str, context: trial.Context
) -> tuple[Function, Callable[[Callable[[], object]], str] | None]:
    """A backend or a user's function, and how to learn which kernel it ran, where it chooses among several."""
    if ":" in name:
        from .user_function import adapted

        return adapted(context.load(name)), None
    from .registry import by_name, find
    from .rivals import RIVALS, rival

    if name in RIVALS:
        return rival(name), None
    return by_name(name), find(name).kernel


def _first_call(name: str, q: Tensor, k: Tensor, v: Tensor, backward: bool) -> float:
    """Seconds of a call so small that they are those of compiling, or of loading what is compiled.

    A GPU's sizes of tiles are found in the first long call, which is warm-up and not in here.
    """
    import time

    import torch

    from .arguments import Options
    from .registry import find

    begin = time.perf_counter()
    q, k, v = (x[:1, :, :FIRST].detach().requires_grad_(backward) for x in (q, k, v))
    output, _ = find(name).function(q, k, v, Options(causal=True, scale=1.0))
    if backward:
        torch.autograd.grad(output.sum(), (q, k, v))
    return time.perf_counter() - begin


@lru_cache(maxsize=1)
def _inputs(
    of_q: tuple[int, ...], of_k: tuple[int, ...], dtype: str, seed: int, device: str
) -> tuple[Tensor, Tensor, Tensor]:
    """q, k and v, drawn where they are needed, and once for all variants that a process times."""
    import torch

    generator = torch.Generator(device).manual_seed(seed)

    def normal(shape: tuple[int, ...]) -> Any:
        return torch.randn(shape, generator=generator, device=device, dtype=torch.float32).to(
            getattr(torch, dtype)
        )

    return normal(of_q), normal(of_k), normal(of_k)
