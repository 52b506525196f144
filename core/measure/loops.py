"""Compiled loops that do one thing as fast as the processor can: multiply-adds in registers, and copies. Needs Numba.

The vectors are written out as LLVM's instructions (`core/compiled/vectors.py`), so that their width is the one that is asked
for. Several threads meet inside the compiled code, so that their work, and not the time that Python takes to start them, is
what a clock around it sees.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils

from ..compiled.kernel import kernel
from ..compiled.vectors import instruction

_FEATURES = binding.get_host_cpu_features()
_AVX = bool(_FEATURES.get("avx"))
_AVX512 = bool(_FEATURES.get("avx512f"))
_IS_X86 = bool(_FEATURES.get("sse2"))

BITS: tuple[int, ...] = (128,) + (256,) * _AVX + (512,) * _AVX512
"""Widths of this processor's vectors. On ARM those of NEON; SVE, whose width LLVM does not know beforehand, is not used."""
CHAINS: tuple[int, ...] = (8, 10, 12) if _IS_X86 and not _AVX512 else (8, 12, 16, 24)
"""Numbers of sums that do not wait for each other: at least latency times ports, which is 8 (4 cycles, 2 ports) on most
processors and 16 on Apple's, and so few that they fit into 16 or 32 registers beside two factors."""
_UNROLLED = 4
_INT, _BYTES = ir.IntType(64), 8
_PATIENCE = (
    1 << 28
)  # looks at the others, a tenth of a second or more, for a thread that could not be started


def _meet(builder: Any, at: Any, threads: Any) -> None:
    """Wait until `threads` threads are here; `at` is the address of their counter, an int64 that begins at 0."""
    counter = builder.inttoptr(at, ir.PointerType())
    builder.atomic_rmw("add", counter, _INT(1), "acq_rel")
    before, wait, go = builder.block, builder.append_basic_block(), builder.append_basic_block()
    builder.branch(wait)
    builder.position_at_end(wait)
    looks = builder.phi(_INT)
    here = builder.load_atomic(counter, "acquire", _BYTES, typ=_INT)
    following = builder.add(looks, _INT(1))
    looks.add_incoming(_INT(0), before)
    looks.add_incoming(following, wait)
    is_time = builder.or_(
        builder.icmp_signed(">=", here, threads), builder.icmp_signed(">=", following, _INT(_PATIENCE))
    )
    builder.cbranch(is_time, go, wait)
    builder.position_at_end(go)


def _address(builder: Any, base: Any, offset: Any) -> Any:
    return builder.inttoptr(builder.add(base, offset), ir.PointerType())


def _multiply_adds(number: Any, suffix: str, size: int) -> Any:
    """The instruction (which, counter, threads, rounds, from, to): that many rounds of s ← s·x + y, of each of its sums.

    `which` counts the pairs of a width and a number of sums, widths outside. `from` is the address of x and y, then of the
    first value of each number of each sum; what the sums come to goes to `to`. With x = y = 1 each number of a sum counts
    the rounds. None of it is known when it is compiled, so nothing can be left out.
    """

    @instruction
    def work(context: Any, which: Any, counter: Any, threads: Any, rounds: Any, start: Any, to: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            which, counter, threads, rounds, start, to = arguments
            _meet(builder, counter, threads)
            end = builder.append_basic_block()
            choice = builder.switch(which, end)
            for index, (bits, chains) in enumerate((b, c) for b in BITS for c in CHAINS):
                block = builder.append_basic_block()
                choice.add_case(_INT(index), block)
                builder.position_at_end(block)
                _chains(builder, bits // (8 * size), chains, rounds, start, to)
                builder.branch(end)
            builder.position_at_end(end)
            return context.get_dummy_value()

        return types.void(*(types.int64,) * 6), generate

    def _chains(builder: Any, lanes: int, chains: int, rounds: Any, start: Any, to: Any) -> None:
        vector = ir.VectorType(number, lanes)
        kinds = ir.FunctionType(vector, [vector] * 3)
        # Fused where the processor can, else two instructions, which then are its best.
        fused = cgutils.get_or_insert_function(builder.module, kinds, f"llvm.fmuladd.v{lanes}{suffix}")  # type: ignore[no-untyped-call]

        def load(numbers: int, kind: Any) -> Any:
            return builder.load(_address(builder, start, _INT(numbers * size)), align=size, typ=kind)

        def spread(one: Any) -> Any:
            nothing = ir.Constant(vector, ir.Undefined)
            first = builder.insert_element(nothing, one, ir.IntType(32)(0))
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
            return builder.shuffle_vector(first, nothing, zeros)

        x, y = spread(load(0, number)), spread(load(1, number))
        first = [load(2 + i * lanes, vector) for i in range(chains)]
        before, loop, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
        builder.branch(loop)
        builder.position_at_end(loop)
        done = builder.phi(_INT)
        sums = [builder.phi(vector) for _ in range(chains)]
        new: Sequence[Any] = sums
        for _ in range(_UNROLLED):
            new = [builder.call(fused, [each, x, y]) for each in new]
        following = builder.add(done, _INT(_UNROLLED))
        done.add_incoming(_INT(0), before)
        done.add_incoming(following, loop)
        for each, begun, grown in zip(sums, first, new, strict=True):
            each.add_incoming(begun, before)
            each.add_incoming(grown, loop)
        builder.cbranch(builder.icmp_signed("<", following, rounds), loop, after)
        builder.position_at_end(after)
        for i, each in enumerate(new):
            builder.store(each, _address(builder, to, _INT(i * lanes * size)), align=size)

    return work


_single, _double = _multiply_adds(ir.FloatType(), "f32", 4), _multiply_adds(ir.DoubleType(), "f64", 8)


@instruction
def _copy(context: Any, counter: Any, threads: Any, times: Any, to: Any, source: Any, steps: Any) -> Any:
    """(counter, threads, times, to, from, steps): copy steps · STEP bytes, so many times."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        counter, threads, times, to, source, steps = arguments
        _meet(builder, counter, threads)
        vector = ir.VectorType(ir.FloatType(), BITS[-1] // 32)
        before, outer, inner = (builder.block, *(builder.append_basic_block() for _ in range(2)))
        again, after = (builder.append_basic_block() for _ in range(2))
        builder.branch(outer)
        builder.position_at_end(outer)
        time = builder.phi(_INT)
        builder.branch(inner)
        builder.position_at_end(inner)
        step = builder.phi(_INT)
        offset = builder.mul(step, _INT(STEP))
        parts = [builder.add(offset, _INT(part)) for part in range(0, STEP, BITS[-1] // 8)]
        read = [builder.load(_address(builder, source, part), align=4, typ=vector) for part in parts]
        for part, value in zip(parts, read, strict=True):
            builder.store(value, _address(builder, to, part), align=4)
        next_step = builder.add(step, _INT(1))
        step.add_incoming(_INT(0), outer)
        step.add_incoming(next_step, inner)
        builder.cbranch(builder.icmp_signed("<", next_step, steps), inner, again)
        builder.position_at_end(again)
        next_time = builder.add(time, _INT(1))
        time.add_incoming(_INT(0), before)
        time.add_incoming(next_time, again)
        builder.cbranch(builder.icmp_signed("<", next_time, times), outer, after)
        builder.position_at_end(after)
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 6), generate


STEP = _UNROLLED * BITS[-1] // 8
"""Bytes: a copy's are a multiple of it."""


@kernel
def float32(which: int, counter: int, threads: int, rounds: int, start: int, to: int) -> None:
    """As `_multiply_adds` says; `rounds` are a multiple of 4 and at most 2^24, up to which float32 counts."""
    _single(which, counter, threads, rounds, start, to)


@kernel
def float64(which: int, counter: int, threads: int, rounds: int, start: int, to: int) -> None:
    """The same in float64."""
    _double(which, counter, threads, rounds, start, to)


@kernel
def copy(counter: int, threads: int, times: int, to: int, source: int, steps: int) -> None:
    """Copy steps · STEP bytes between addresses, so many times."""
    _copy(counter, threads, times, to, source, steps)


MULTIPLY_ADDS: dict[str, Callable[..., None]] = {"float32": float32, "float64": float64}
