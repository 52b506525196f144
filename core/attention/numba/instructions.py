"""LLVM's instructions that only attention needs: a row of scores made one number, and the bits of dropout."""

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
