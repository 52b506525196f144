"""LLVM's instructions that only attention needs: a row of scores made one number, bytes turned, the bits of dropout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from ...compiled.vectors import BYTES, INT, LANE, LANES, VECTOR, instruction
from ..dropout import PAIR_FIRST, PAIR_SECOND
from .arguments import QUERIES


def _of_row(combine: Callable[[Any, Any, Any], Any]) -> Any:
    @instruction
    def of_row(context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            found = [
                builder.load(
                    builder.inttoptr(builder.add(arguments[0], INT(n * LANES * BYTES)), ir.PointerType()),
                    align=BYTES,
                    typ=VECTOR,
                )
                for n in range(QUERIES // LANES)
            ]
            while len(found) > 1:
                found = [combine(builder, a, b) for a, b in zip(found[::2], found[1::2], strict=True)]
            half = LANES // 2
            while half:
                turn = ir.Constant(ir.VectorType(LANE, LANES), [lane ^ half for lane in range(LANES)])
                found = [combine(builder, found[0], builder.shuffle_vector(found[0], found[0], turn))]
                half //= 2
            return builder.extract_element(found[0], LANE(0))

        return types.float32(types.int64), generate

    return of_row


def _larger(builder: Any, a: Any, b: Any) -> Any:
    kinds = ir.FunctionType(VECTOR, [VECTOR] * 2)
    maxnum = cgutils.get_or_insert_function(builder.module, kinds, f"llvm.maxnum.v{LANES}f32")  # type: ignore[no-untyped-call]
    return builder.call(maxnum, [a, b])


sum_of_row = _of_row(lambda builder, a, b: builder.fadd(a, b))
"""(address): the sum of QUERIES float32 from there."""
largest_of_row = _of_row(_larger)
"""(address): the largest of QUERIES float32 from there; NaN only if all are."""


@instruction
def bits_of_pair(context: Any, row: Any, column: Any) -> Any:
    """The bits of a pair of `dropout.Choices`, int32, out of those of its row and its column."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.mul(builder.xor(*arguments), LANE(PAIR_FIRST))
        bits = builder.xor(bits, builder.lshr(bits, LANE(15)))
        return builder.mul(bits, LANE(PAIR_SECOND))

    return types.int32(types.int32, types.int32), generate


BYTE_LANES = 16


@instruction
def transpose_bytes(context: Any, to: Any, to_row: Any, source: Any, source_row: Any) -> Any:
    """(address, distance, address, distance): BYTE_LANES × BYTE_LANES bytes, rows to columns; distances between rows.

    Row i and the row half of all rows below it are interleaved, log₂ BYTE_LANES times: one instruction for each result.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to, to_row, source, source_row = arguments
        kind = ir.VectorType(ir.IntType(8), BYTE_LANES)

        def address(base: Any, row: Any, i: int) -> Any:
            return builder.inttoptr(builder.add(base, builder.mul(row, INT(i))), ir.PointerType())

        rows = [builder.load(address(source, source_row, i), align=1, typ=kind) for i in range(BYTE_LANES)]
        half = BYTE_LANES // 2
        pairs = [n // 2 + n % 2 * BYTE_LANES for n in range(2 * BYTE_LANES)]
        picks = [
            ir.Constant(ir.VectorType(LANE, BYTE_LANES), each)
            for each in (pairs[:BYTE_LANES], pairs[BYTE_LANES:])
        ]
        for _ in range(half.bit_length()):
            rows = [
                builder.shuffle_vector(rows[i], rows[i + half], pick) for i in range(half) for pick in picks
            ]
        for i in range(BYTE_LANES):
            builder.store(rows[i], address(to, to_row, i), align=1)
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 4), generate


@instruction
def store_byte(context: Any, base: Any, number: Any, value: Any) -> Any:
    """(address, n, x): x becomes the n-th byte from there."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        at = builder.inttoptr(builder.add(arguments[0], arguments[1]), ir.PointerType())
        builder.store(arguments[2], at, align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.uint8), generate
