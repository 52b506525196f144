"""flash-numba as registered operators, where its code cannot be given addresses: see `addresses`.

torch.compile and its like see two operators whose results have known shapes, and run them as a whole; vmap calls them for
each slice. Past them, as `attention` goes where it can, a call takes 20 to 100 μs less.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from ..trial import Refused
from .arguments import TENSORS, Options
from .dropout import signed

# ruff: noqa: E741 — O is the paper's symbol

_IN_SCHEMA = {
    "Tensor | None": "Tensor?",
    "bool": "bool",
    "float": "float",
    "float | None": "float?",
    "int | None": "SymInt?",
    "Window | None": "SymInt[]?",
}
"""The type of a field of `Options`, and how a schema of PyTorch spells it."""
_TYPES = {field.name: _IN_SCHEMA[str(field.type)] for field in fields(Options) if field.name != "return_lse"}
_NUMBERS = [name for name in _TYPES if name not in TENSORS]
_GIVEN = ", ".join(
    ["Tensor q, Tensor k, Tensor v", *(f"{_TYPES[name]} {name}" for name in (*TENSORS, *_NUMBERS))]
)
"""q, k, v and the fields of `Options` that change the results."""
_SINK = TENSORS.index("sink")


def flash_numba_operator(q: Tensor, k: Tensor, v: Tensor, options: Options) -> tuple[Tensor, Tensor]:
    """As `numba.backend.flash_numba`."""
    found: tuple[Tensor, Tensor] = _outputs(q, k, v, *_flat(options))
    return found


def gradients_operator(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    options: Options,
    O: Tensor,
    L: Tensor,
    dO: Tensor | None,
    dL: Tensor | None,
) -> tuple[Tensor | None, ...]:
    """As `numba.backend.gradients`."""
    *found, dsink = _gradients(q, k, v, *_flat(options), O, L, dO, dL)
    return *found, None if options.sink is None else dsink


def _flat(options: Options) -> list[Any]:
    if options.dropout_seed is not None:
        options = replace(options, dropout_seed=signed(options.dropout_seed))
    return [getattr(options, name) for name in (*TENSORS, *_NUMBERS)]


def _options(values: tuple[Any, ...]) -> Options:
    named = dict(zip((*TENSORS, *_NUMBERS), values, strict=True))
    if named["window_size"] is not None:
        named["window_size"] = tuple(named["window_size"])
    return Options(**named)


@torch.library.custom_op("lab::flash_numba", mutates_args=(), schema=f"({_GIVEN}) -> (Tensor, Tensor)")
def _outputs(q: Tensor, k: Tensor, v: Tensor, *values: Any) -> tuple[Tensor, Tensor]:
    from .flash_numba import backend

    found: tuple[Tensor, Tensor] = backend().outputs(q, k, v, _options(values))
    return found


@_outputs.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, *values: Any) -> tuple[Tensor, Tensor]:
    return q.new_empty(*q.shape[:3], v.shape[3]), q.new_empty(q.shape[:3], dtype=torch.float32)


@torch.library.custom_op(
    "lab::flash_numba_gradients",
    mutates_args=(),
    schema=f"({_GIVEN}, Tensor O, Tensor L, Tensor? dO, Tensor? dL) -> (Tensor, Tensor, Tensor, Tensor)",
)
def _gradients(q: Tensor, k: Tensor, v: Tensor, *others: Any) -> tuple[Tensor, ...]:
    from .flash_numba import backend

    *found, dsink = backend().gradients(q, k, v, _options(others[:-4]), *others[-4:])
    return *(x.contiguous() for x in found), q.new_empty(0) if dsink is None else dsink


@_gradients.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, *others: Any) -> tuple[Tensor, ...]:
    sink = others[_SINK]
    of_sink = q.new_empty(0) if sink is None else sink.new_empty(sink.shape)
    return *(x.new_empty(x.shape) for x in (q, k, v)), of_sink


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    tensors, ctx.numbers = inputs[: 3 + len(TENSORS)], inputs[3 + len(TENSORS) :]
    ctx.save_for_backward(*tensors, *output)
    ctx.set_materialize_grads(False)


def _differentiate(ctx: Any, dO: Tensor | None, dL: Tensor | None) -> tuple[Tensor | None, ...]:
    *tensors, O, L = ctx.saved_tensors
    dq, dk, dv, dsink = _gradients(*tensors, *ctx.numbers, O, L, dO, dL)
    of_options = (dsink if name == "sink" and tensors[3 + _SINK] is not None else None for name in TENSORS)
    return dq, dk, dv, *of_options, *(None for _ in ctx.numbers)


def refuse_second_derivative(ctx: Any, *of_gradients: Tensor | None) -> None:
    raise Refused("flash-numba has no second derivative; it is in standard, flash")


_outputs.register_autograd(_differentiate, setup_context=_keep)
_gradients.register_autograd(refuse_second_derivative)
