"""Numbers as their bits: halves widened and narrowed, and floats as integers that can be compared.

Numba has no half precision of its own on a CPU. Halves come as the integers they are made of: bfloat16 as uint16 and
float16 as int16, which is how a kernel's one source tells them apart. float16 is converted by the processor where it
can, 16 at once with AVX-512; elsewhere, and bfloat16 everywhere, by arithmetic on integers, which the compiler does on
a whole vector too.
"""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic, overload

from ...compiled.kernel import inlined

_I32 = np.int32
_F32_MIN, _F64_MIN = np.finfo(np.float32).min, np.finfo(np.float64).min
_INFINITY = _I32(0x7F800000)


@inlined
def _float(bits):
    return np.int32(bits).view(np.float32)


@inlined
def _bits(value):
    return np.float32(value).view(np.int32)


@inlined
def from_bfloat16(u):
    """The float32 whose upper half u is."""
    return _float(_I32(u) << _I32(16))


@inlined
def to_bfloat16(value):
    """The nearest bfloat16, the even one of two as near; NaN stays NaN."""
    b = _bits(value)
    even = (b >> _I32(16)) & _I32(1)
    return np.uint16(0x7FC0) if np.isnan(value) else np.uint16((b + _I32(0x7FFF) + even) >> _I32(16))


@inlined
def from_float16(h):
    """The float32 of the same value, subnormal ones too.

    Exponent and mantissa are moved to where float32 has them, and a multiplication by 2^112 makes up for the other
    bias; it also gives subnormal numbers their leading one. Infinity and NaN have the exponent that all others lack.
    """
    u = _I32(h)
    moved = (u & _I32(0x7FFF)) << _I32(13)
    special = (u & _I32(0x7C00)) == _I32(0x7C00)
    size = _float(moved | _INFINITY) if special else _float(moved) * np.float32(2.0**112)
    return _float(_bits(size) | ((u & _I32(0x8000)) << _I32(16)))


@inlined
def to_float16(value):
    """The nearest float16, the even one of two as near; NaN stays NaN, and 65,520 and more are ∞.

    Below 2^-14 the spacing is 2^-24, which is also the spacing of float32 around 1/2: adding 1/2 rounds.
    """
    b = _bits(value)
    size = b & _I32(0x7FFFFFFF)
    normal = (size - _I32(112 << 23) + _I32(0xFFF) + ((size >> _I32(13)) & _I32(1))) >> _I32(13)
    subnormal = _bits(_float(size) + np.float32(0.5)) - _I32(0x3F000000)
    h = subnormal if size < _I32(113 << 23) else min(normal, _I32(0x7C00))
    h = _I32(0x7E00) if size > _INFINITY else h
    return np.int16(h | ((b >> _I32(16)) & _I32(0x8000)))


def converts_float16() -> bool:
    """Whether this processor has instructions for it. Without them LLVM would call a function that is not there."""
    if platform.machine().lower() in ("arm64", "aarch64"):
        return True
    return bool(binding.get_host_cpu_features().get("f16c"))


@intrinsic
def widened(typing_context, h):
    """The float32 of a float16, by the processor."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), ir.FloatType())

    return types.float32(types.int16), generate


@intrinsic
def narrowed(typing_context, value):
    """The nearest float16 of a float32, by the processor."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(builder.fptrunc(arguments[0], ir.HalfType()), ir.IntType(16))

    return types.int16(types.float32), generate


_from_float16: Any = widened if converts_float16() else from_float16
_to_float16: Any = narrowed if converts_float16() else to_float16


def load(x, j):
    """x[j] as the float that is computed with."""


def store(y, j, value):
    """y[j] = value, rounded to what y holds."""


@overload(load)
def _load(x, j):
    if x.dtype == types.uint16:
        return lambda x, j: from_bfloat16(x[j])
    if x.dtype == types.int16:
        return lambda x, j: _from_float16(x[j])
    return lambda x, j: x[j]


@overload(store)
def _store(y, j, value):
    if y.dtype == types.uint16:

        def store_bfloat16(y, j, value):
            y[j] = to_bfloat16(value)

        return store_bfloat16
    if y.dtype == types.int16:

        def store_float16(y, j, value):
            y[j] = _to_float16(np.float32(value))

        return store_float16

    def store_float(y, j, value):
        y[j] = value

    return store_float


def bits_of(value):
    """A float's bits as a signed integer of its width: larger for larger floats above 0, smaller for those below."""


def float_of(bits):
    """The float that `bits_of` gave this integer."""


@overload(bits_of)
def _bits_of(value):
    if value == types.float64:
        return lambda value: np.float64(value).view(np.int64)
    return lambda value: np.float32(value).view(np.int32)


@overload(float_of)
def _float_of(bits):
    if bits == types.int64:
        return lambda bits: np.int64(bits).view(np.float64)
    return lambda bits: np.int32(bits).view(np.float32)


def to(value, like):
    """A number in the type of `like`, float32 or float64."""


@overload(to)
def _to(value, like):
    if like == types.float64:
        return lambda value, like: np.float64(value)
    return lambda value, like: np.float32(value)


def lowest(e):
    """The lowest finite number of the type that e holds. It stands for −∞ where −∞ − (−∞) must not be NaN."""


@overload(lowest)
def _lowest(e):
    if e.dtype == types.float64:
        return lambda e: _F64_MIN
    return lambda e: _F32_MIN
