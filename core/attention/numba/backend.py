"""Flash attention by compiled kernels, as a PyTorch function with gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...addresses import have_addresses
from ...compiled.kernel import Share
from ...compiled.shares import on_team
from ...compiled.team import team
from ...compiled.vectors import AVX2, LANES, LINE
from ...trial import Refused
from ..arguments import Options
from ..band import band_of
from ..dropout import choices, seed_of
from ..operator import gradients_operator, refuse_second_derivative
from ..sink import gradient_of_sink
from . import backward, decode, forward
from .arguments import KEYS_BACKWARD, NO_EXTRAS, QUERIES, Extras, Task, mask_of, packed, rows

# ruff: noqa: E741 — O is the paper's symbol

NO_BOUND = 1 << 40
"""As a side of a window: more than there are keys."""


def flash_numba(q: Tensor, k: Tensor, v: Tensor, options: Options) -> tuple[Tensor, Tensor]:
    """O (B, H, Nq, d_v) and L (B, H, Nq), float32; both have gradients.

    Half precision is computed in float32 and rounded once, at the end. A row that may attend to nothing gives 0, −∞ as
    its L (or that of the sink), and gradients of 0. A masked key changes nothing, even where it is NaN.

    Args:
        q, k, v: with addresses, as are all tensors of the options: see `addresses`.
        options: with a seed where there is dropout.
    Raises Refused: on another device than a CPU, in float64, and in the backward pass of its gradients.
    """
    sink = options.sink
    wanted = (
        q.requires_grad or k.requires_grad or v.requires_grad or (sink is not None and sink.requires_grad)
    )
    if not (torch.is_grad_enabled() and wanted):
        return outputs(q, k, v, options)
    results: tuple[Tensor, Tensor] = _Flash.apply(q, k, v, sink, options)  # type: ignore[no-untyped-call]
    return results


def is_warm(*, gradients: bool) -> bool:
    """Whether this process has loaded the code, compiled for vectors with which its speed is known."""
    return AVX2 and forward.forward.at != 0 and (not gradients or backward.backward.at != 0)


class _Flash(torch.autograd.Function):
    # `setup_context`, the newer form, makes PyTorch inspect signatures on each call, for 40 μs.
    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, sink: Tensor | None, options: Options
    ) -> tuple[Tensor, Tensor]:
        O, L = outputs(q, k, v, options)
        ctx.options = options
        # Those of the options too, so that PyTorch notices where one is overwritten before the backward pass.
        ctx.save_for_backward(q, k, v, O, L, *options.tensors.values())
        ctx.set_materialize_grads(False)
        return O, L

    @staticmethod
    def backward(ctx: Any, dO: Tensor | None, dL: Tensor | None) -> tuple[Tensor | None, ...]:
        q, k, v, O, L, *_ = ctx.saved_tensors
        if not have_addresses(dO, dL):  # several at once, under vmap
            found = gradients_operator(q, k, v, ctx.options, O, L, dO, dL)
        else:
            compute = _Gradients.apply if torch.is_grad_enabled() else gradients
            found = compute(q, k, v, ctx.options, O, L, dO, dL)
        return *(x if needed else None for x, needed in zip(found, ctx.needs_input_grad, strict=False)), None


class _Gradients(torch.autograd.Function):
    """An autograd function, so that its derivative is refused: PyTorch would otherwise take it for 0."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> tuple[Tensor | None, ...]:
        return gradients(*given)

    backward = staticmethod(refuse_second_derivative)


def _task(q: Tensor, k: Tensor, v: Tensor, options: Options) -> Task:
    (B, H, N_q, d), (_, H_kv, N_k, d_v) = q.shape, v.shape
    if options.causal or options.window_size is not None:
        band = band_of(N_q, N_k, options)
        left = NO_BOUND if band.low is None else band.shift - band.low
        right = NO_BOUND if band.high is None else band.high - band.shift
        return Task(B, H, H_kv, N_q, N_k, d, d_v, left, right, band.shift, options.scale)
    shift = N_k - N_q if options.shift is None else options.shift
    return Task(B, H, H_kv, N_q, N_k, d, d_v, NO_BOUND, NO_BOUND, shift, options.scale)


def _extras(task: Task, options: Options) -> tuple[Extras, list[Tensor]]:
    """The further options, and the tensors behind their addresses, which must outlive their use."""
    kept: list[Tensor] = []

    def address(x: Tensor) -> int:
        kept.append(x.contiguous())
        return kept[-1].data_ptr()

    slopes, sink, p = options.alibi_slopes, options.sink, options.dropout_p
    if not p and slopes is None and sink is None and options.softcap is None:
        return NO_EXTRAS, kept
    rows = columns = threshold = 0
    if p:
        assert options.dropout_seed is not None  # drawn before, once for both passes
        cpu = torch.device("cpu")
        made = [
            choices(p, seed_of(options.dropout_seed, b), range(task.heads), task.queries, task.keys, cpu)
            for b in range(task.batch)
        ]
        threshold = made[0].threshold if made else 0
        # One more number, so that there is an address where there are no queries.
        rows = address(
            torch.cat(
                [*(each.rows.flatten() for each in made), torch.zeros(1, dtype=torch.int32, device=cpu)]
            )
        )
        columns = address(
            torch.cat([*(each.columns for each in made), torch.zeros(1, dtype=torch.int32, device=cpu)])
        )
    found = Extras(
        softcap=float(options.softcap or 0),
        slopes=0 if slopes is None else address(slopes.float()),
        slopes_batch=0 if slopes is None or len(slopes) == 1 else task.heads,
        sink=0 if sink is None else address(sink.detach().float()),
        row_bits=rows,
        column_bits=columns,
        threshold=threshold,
        kept_times=1 / (1 - p),
    )
    return found, kept


def outputs(q: Tensor, k: Tensor, v: Tensor, options: Options) -> tuple[Tensor, Tensor]:
    """O and L of `flash_numba`, without gradients."""
    if q.dtype != torch.float32:
        if q.dtype == torch.float64:
            raise Refused("flash-numba has no float64; it is in standard, flash, sdpa")
        O, L = outputs(q.float(), k.float(), v.float(), options)
        return O.to(q.dtype), L
    if not q.is_cpu:
        raise Refused(f"flash-numba runs on a CPU, not on {q.device.type}; flash and sdpa do")
    task = _task(q, k, v, options)
    O = q.new_empty(task.batch, task.heads, task.queries, task.d_v)
    L = q.new_empty(task.batch, task.heads, task.queries)
    Q, K, V, mask = _rows(q), _rows(k), _rows(v), _expanded(options.attn_mask, task)
    extras, kept = _extras(task, options)
    arguments = (rows(Q), rows(K), rows(V), rows(O), mask_of(mask), task, extras, L.data_ptr())
    rows_of_head = task.heads // task.kv_heads * task.queries
    if (
        0 < task.queries <= decode.QUERIES_AT_MOST
        and rows_of_head <= decode.ROWS_AT_MOST
        and not options.dropout_p
    ):
        _decode(arguments, task)
    else:
        items = task.batch * task.heads * math.ceil(task.queries / QUERIES)
        _on_threads(
            forward.forward, arguments, forward.room(task.d, task.d_v), items, _operations(task) / RATE
        )
    del kept  # it had to outlive the kernel
    return O, L


def _operations(task: Task) -> float:
    """Of the two products forward."""
    pairs = task.queries * min(task.keys, task.left + task.right + 1)
    return 2.0 * task.batch * task.heads * pairs * (task.d + task.d_v)


def _decode(arguments: tuple[Any, ...], task: Task) -> None:
    """O and L, by parts of the keys."""
    heads, parts = task.batch * task.kv_heads, max(1, math.ceil(task.keys / decode.PART))
    rows_of_head, d_v = task.heads // task.kv_heads * task.queries, math.ceil(task.d_v / LANES) * LANES
    kept = 4 * heads * parts * decode.room_of_part(rows_of_head, d_v)
    read = 4 * heads * task.keys * (task.d + task.d_v)
    room = decode.room(rows_of_head, task.d, d_v)
    own = (parts, *(0,) * heads)
    _on_threads(decode.decode, arguments, room, heads * parts, read / BYTES, *own, shared=kept)


RATE, BYTES = 50_000.0, 20_000.0
"""About how many operations, or bytes of keys and values, a thread does in a µs."""
WORTH_WAKING = 50
"""In µs, what work must take one thread: to wake another takes up to 100."""
_scratch: list[Tensor] = []
"""Memory that no call uses. New memory is new pages, which take longer to get than the shortest kernel runs."""
_SCRATCH_AT_MOST = 1 << 24


def _on_threads(
    share: Share,
    arguments: tuple[Any, ...],
    room: int,
    items: int,
    microseconds: float,
    *own: int,
    shared: int = 0,
) -> None:
    """Do work on as many threads as there are items of work, at most; each has `room` bytes of scratch memory.

    Args:
        microseconds: about how long the work takes one thread: too short, and none is woken for it.
        shared: bytes of scratch memory that all threads use, which are the first.
    """
    threads = min(torch.get_num_threads(), items) or 1
    bytes_of_thread, shared = -(-room // LINE) * LINE, -(-shared // LINE) * LINE
    needed = shared + threads * bytes_of_thread
    try:
        scratch = _scratch.pop()
    except IndexError:
        scratch = torch.empty(0, dtype=torch.uint8, device="cpu")
    if scratch.numel() < needed:
        scratch = torch.empty(needed, dtype=torch.uint8, device="cpu")
    job = packed((*arguments, scratch.data_ptr(), shared, bytes_of_thread, 0), *own)
    on_team(share.address(), team(threads, wake=microseconds > WORTH_WAKING), threads, job.buffer_info()[0])
    if scratch.numel() <= _SCRATCH_AT_MOST:
        _scratch.append(scratch)


def _empty(*sizes: int) -> Tensor:
    return torch.empty(sizes, dtype=torch.float32, device="cpu")


def gradients(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    options: Options,
    O: Tensor,
    L: Tensor,
    dO: Tensor | None,
    dL: Tensor | None,
) -> tuple[Tensor | None, ...]:
    """Of q, k, v and the sink, from the results of `outputs` and the gradients of these."""
    task, sink = _task(q, k, v, options), options.sink
    Q, K, V, O, mask = _rows(q), _rows(k), _rows(v), _rows(O), _expanded(options.attn_mask, task)
    dO = torch.zeros_like(O) if dO is None else _rows(dO)
    dL = torch.zeros_like(L) if dL is None else dL.contiguous()
    d, d_v = (math.ceil(width / LANES) * LANES for width in (task.d, task.d_v))
    extras, kept = _extras(task, options)
    ends = _ends(task, torch.get_num_threads())
    parts = len(ends) - 1
    dQ = _empty(parts, *q.shape)
    dK, dV = (_empty(*k.shape[:3], width).zero_() for width in (d, d_v))
    arguments = (rows(Q), rows(K), rows(V), rows(O), mask_of(mask), task, extras, L.data_ptr())
    own = (*rows(dO), *rows(dK), *rows(dV), dL.data_ptr(), dQ.data_ptr(), ends.ctypes.data, parts)
    room, items = backward.room(task.d, task.d_v, d, d_v), task.batch * task.kv_heads * parts
    _on_threads(backward.backward, arguments, room, items, 2.5 * _operations(task) / RATE, *own)
    del kept  # it had to outlive the kernel
    dq = dQ[0] if parts == 1 else dQ.sum(0)
    dsink = None if sink is None else gradient_of_sink(sink, L, (dO * O).sum(-1) - dL)
    return dq.to(q.dtype), dK[..., : task.d].to(q.dtype), dV[..., : task.d_v].to(q.dtype), dsink


def _ends(task: Task, threads: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The keys at which the parts of a head begin, and their number at last: equal work in each part."""
    heads = task.batch * task.kv_heads
    tiles = math.ceil(task.keys / KEYS_BACKWARD)
    parts = 1 if heads % threads == 0 or heads >= 4 * threads else min(threads, max(1, tiles))
    if parts == 1:
        return np.array([0, task.keys], dtype=np.int64)
    first = np.arange(tiles) * KEYS_BACKWARD
    # Key j is inside the band of the queries beside the keys j − right … j + left.
    shift = task.shift
    low = np.clip(first - task.right - shift, 0, task.queries)
    high = np.clip(first + KEYS_BACKWARD + task.left - shift, 0, task.queries)
    work = np.concatenate([[0], np.cumsum(np.maximum(high - low, 0))])
    goals = work[-1] * np.arange(1, parts) / parts
    inner = np.minimum(np.searchsorted(work, goals) * KEYS_BACKWARD, task.keys)
    return np.array([0, *inner, task.keys], dtype=np.int64)


def _rows(x: Tensor) -> Tensor:
    """x in float32, its rows without gaps."""
    x = x.float()
    return x if x.stride(3) == 1 else x.contiguous()


def _expanded(mask: Tensor | None, task: Task) -> Tensor | None:
    if mask is None:
        return None
    mask = mask if mask.dtype == torch.bool else mask.float()
    return mask.expand(task.batch, task.heads, task.queries, task.keys)
