"""Memory that several threads use at once: 64-bit integers at an address, in one order for all; and calls of an address."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from .vectors import INT, instruction

_NUMBER = INT.as_pointer()
_IN_ORDER = "seq_cst"


@instruction
def load(context: Any, address: Any) -> Any:
    """(address): the number there."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load_atomic(builder.inttoptr(arguments[0], _NUMBER), _IN_ORDER, 8)

    return types.int64(types.int64), generate


def _change(operation: str) -> Any:
    @instruction
    def change(context: Any, address: Any, number: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            at = builder.inttoptr(arguments[0], _NUMBER)
            return builder.atomic_rmw(operation, at, arguments[1], _IN_ORDER)

        return types.int64(types.int64, types.int64), generate

    return change


add = _change("add")
"""(address, n): adds n to the number there. Its value before."""
put = _change("xchg")
"""(address, n): n becomes the number there. Its value before."""


@instruction
def call(context: Any, function: Any, data: Any) -> Any:
    """(address, address): calls a C function `void f(void *data)`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [INT])
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), [arguments[1]])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@instruction
def call_share(context: Any, function: Any, index: Any, data: Any) -> Any:
    """(address, number, address): calls a C function `void f(int64_t index, void *data)`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [INT, INT])
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate
