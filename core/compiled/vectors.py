"""The inner loop of every matrix product, and operations on memory that Numba lacks.

Numba would compile a product of loops to vectors of half this processor's width and keep its sums in memory. Here the
vectors are written out, as LLVM's instructions, so that the sums stay in registers:

    C (ROWS, COLUMNS)  +=  A (ROWS, K) · B (K, COLUMNS)

For each k the COLUMNS of B are loaded once, as VECTORS vectors, and each number of A is spread over a vector and
multiplied with all of them. Sizes, per k: ROWS·VECTORS multiply-adds for ROWS + VECTORS loads, so a larger block needs
fewer loads; its sums, one row of B and one number of A must fit into the registers; and a processor that begins two
multiply-adds in a cycle, each four or five cycles long, needs eight to ten sums that do not wait for each other.

* AVX-512, 32 registers: 4 × 4 vectors of 16. 16 sums, and 4 divides every head size and tile in use. 6 × 4, 8 × 3 and
  14 × 2 were no faster (113 to 118 GFLOP/s on one core of an EPYC at d = 64, where MKL's products reach 91 to 97).
* Others, 16 registers: 6 × 2 vectors of 8, for AVX2. LLVM splits them where vectors are shorter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

instruction: Callable[[Callable[..., Any]], Any] = intrinsic
"""Turns (typing context, argument types …) to (signature, generator of LLVM's code) into something compiled code calls."""

_FEATURES = binding.get_host_cpu_features()
WIDE = bool(_FEATURES.get("avx512f", False))
AVX2 = WIDE or bool(_FEATURES.get("avx2", False) and _FEATURES.get("fma", False))
LANES = 16 if WIDE else 8
"""Numbers of a vector."""
VECTORS = 4 if WIDE else 2
COLUMNS = LANES * VECTORS
ROWS = 4 if WIDE else 6

AHEAD = 64
"""Rows: about as long as memory takes to answer."""

LINE = 64
"""Bytes of a line of the cache."""

FLOAT, INT, LANE = ir.FloatType(), ir.IntType(64), ir.IntType(32)
VECTOR = ir.VectorType(FLOAT, LANES)
BYTES = 4


def _multiply_add(builder: Any, kind: Any, suffix: str) -> Any:
    """LLVM's a·b + c, rounded once."""
    kinds = ir.FunctionType(kind, [kind] * 3)
    return cgutils.get_or_insert_function(builder.module, kinds, f"llvm.fma.{suffix}")  # type: ignore[no-untyped-call]


def register_block(rows: int, vectors: int, *, accumulate: bool) -> Any:
    """The compiled function (c, ldc, a, a_row, a_k, b, ldb, K): C = A·B, or C += A·B where it is to `accumulate`.

    c, a and b are addresses; A[i, k] is at a_row·i + a_k·k, rows of B and C are ldb and ldc apart, all counted in
    numbers. So a transposed A costs nothing. K is at least 1.
    """

    @instruction
    def block(context: Any, c: Any, ldc: Any, a: Any, a_row: Any, a_k: Any, b: Any, ldb: Any, K: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            c, ldc, a, a_row, a_k, b, ldb, K = arguments
            fma = _multiply_add(builder, VECTOR, f"v{LANES}f32")

            def address(base: Any, numbers: Any) -> Any:
                return builder.inttoptr(builder.add(base, builder.mul(numbers, INT(BYTES))), ir.PointerType())

            def load(base: Any, numbers: Any, kind: Any) -> Any:
                # Aligned to a number and not to a vector: rows begin anywhere.
                return builder.load(address(base, numbers), align=BYTES, typ=kind)

            def spread(number: Any) -> Any:
                nothing = ir.Constant(VECTOR, ir.Undefined)
                first = builder.insert_element(nothing, number, LANE(0))
                return builder.shuffle_vector(
                    first, nothing, ir.Constant(ir.VectorType(LANE, LANES), [0] * LANES)
                )

            offsets = [
                [builder.add(builder.mul(ldc, INT(i)), INT(n * LANES)) for n in range(vectors)]
                for i in range(rows)
            ]
            zero = ir.Constant(VECTOR, [0.0] * LANES)
            before, loop, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
            builder.branch(loop)
            builder.position_at_end(loop)
            k = builder.phi(INT)
            sums = [[builder.phi(VECTOR) for _ in range(vectors)] for _ in range(rows)]
            of_b = [load(b, builder.add(builder.mul(k, ldb), INT(n * LANES)), VECTOR) for n in range(vectors)]
            new = []
            for i in range(rows):
                at = builder.add(builder.mul(k, a_k), builder.mul(a_row, INT(i)))
                of_a = spread(load(a, at, FLOAT))
                new.append([builder.call(fma, [of_a, of_b[n], sums[i][n]]) for n in range(vectors)])
            following = builder.add(k, INT(1))
            builder.cbranch(builder.icmp_signed("<", following, K), loop, after)
            k.add_incoming(INT(0), before)
            k.add_incoming(following, loop)
            for i in range(rows):
                for n in range(vectors):
                    sums[i][n].add_incoming(zero, before)
                    sums[i][n].add_incoming(new[i][n], loop)
            builder.position_at_end(after)
            for i in range(rows):
                for n in range(vectors):
                    total = new[i][n]
                    if accumulate:
                        # Added last, so that a sum over all keys is one of sums over tiles: a smaller error.
                        total = builder.fadd(load(c, offsets[i][n], VECTOR), total)
                    builder.store(total, address(c, offsets[i][n]), align=BYTES)
            return context.get_dummy_value()

        return types.void(*(types.int64,) * 8), generate

    return block


@instruction
def transpose(context: Any, to: Any, to_row: Any, source: Any, source_row: Any) -> Any:
    """(address, distance, address, distance): LANES × LANES numbers, rows to columns; distances between rows.

    Row pairs that are 8, 4, 2, 1 apart exchange halves, quarters, …, so that all stays in registers.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to, to_row, source, source_row = arguments

        def address(base: Any, row: Any, i: int) -> Any:
            numbers = builder.mul(row, INT(i * BYTES))
            return builder.inttoptr(builder.add(base, numbers), ir.PointerType())

        rows = [builder.load(address(source, source_row, i), align=BYTES, typ=VECTOR) for i in range(LANES)]
        half = LANES // 2
        while half:
            # Where bit `half` of row and column differ, the two change places.
            upper = [i if not i & half else LANES + (i ^ half) for i in range(LANES)]
            lower = [i | half if not i & half else LANES + i for i in range(LANES)]
            pick = [ir.Constant(ir.VectorType(LANE, LANES), each) for each in (upper, lower)]
            for i in range(LANES):
                if not i & half:
                    a, b = rows[i], rows[i | half]
                    rows[i], rows[i | half] = (builder.shuffle_vector(a, b, each) for each in pick)
            half //= 2
        for i in range(LANES):
            builder.store(rows[i], address(to, to_row, i), align=BYTES)
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 4), generate


@instruction
def dot_products(context: Any, to: Any, x: Any, rows: Any, row: Any, chunks: Any) -> Any:
    """(address, address, address, distance, number): the products of x with each of LANES rows, `row` apart, go to `to`.

    x and the rows have chunks · LANES numbers. What is read in order is `AHEAD` fetched before it is needed.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to, x, rows, row, chunks = arguments
        fma = _multiply_add(builder, VECTOR, f"v{LANES}f32")
        kinds = ir.FunctionType(ir.VoidType(), [ir.PointerType(), LANE, LANE, LANE])
        fetch = cgutils.get_or_insert_function(builder.module, kinds, "llvm.prefetch.p0")  # type: ignore[no-untyped-call]
        distance = builder.mul(row, INT(BYTES))
        ahead = builder.mul(distance, INT(AHEAD))
        before, loop, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
        builder.branch(loop)
        builder.position_at_end(loop)
        n = builder.phi(INT)
        sums = [builder.phi(VECTOR) for _ in range(LANES)]
        offset = builder.mul(n, INT(LANES * BYTES))

        def load(at: Any) -> Any:
            return builder.load(builder.inttoptr(at, ir.PointerType()), align=BYTES, typ=VECTOR)

        of_x, at, new = load(builder.add(x, offset)), builder.add(rows, offset), []
        # A line of the cache is fetched once: of `share` rows, each iteration takes another one.
        share = max(1, LINE // (LANES * BYTES))
        soon = builder.add(builder.add(at, ahead), builder.mul(distance, builder.and_(n, INT(share - 1))))
        for i, each in enumerate(sums):
            new.append(builder.call(fma, [load(at), of_x, each]))
            if i % share == 0:
                builder.call(fetch, [builder.inttoptr(soon, ir.PointerType()), LANE(0), LANE(3), LANE(1)])
                soon = builder.add(soon, builder.mul(distance, INT(share)))
            at = builder.add(at, distance)
        following = builder.add(n, INT(1))
        builder.cbranch(builder.icmp_signed("<", following, chunks), loop, after)
        n.add_incoming(INT(0), before)
        n.add_incoming(following, loop)
        for each, total in zip(sums, new, strict=True):
            each.add_incoming(ir.Constant(VECTOR, [0.0] * LANES), before)
            each.add_incoming(total, loop)
        builder.position_at_end(after)
        half = LANES // 2
        while half:
            # Where a lane has bit `half`, it goes on with the second of a pair, else with the first: both halves at once.
            own = [lane + (LANES if lane & half else 0) for lane in range(LANES)]
            other = [(lane ^ half) + (LANES if lane & half else 0) for lane in range(LANES)]
            pick = [ir.Constant(ir.VectorType(LANE, LANES), each) for each in (own, other)]
            new = [
                builder.fadd(*(builder.shuffle_vector(new[i], new[i + half], each) for each in pick))
                for i in range(half)
            ]
            half //= 2
        builder.store(new[0], builder.inttoptr(to, ir.PointerType()), align=BYTES)
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 5), generate


def _load(kind: Any, numba_kind: Any, size: int) -> Any:
    @instruction
    def load(context: Any, base: Any, number: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            at = builder.add(arguments[0], builder.mul(arguments[1], INT(size)))
            return builder.load(builder.inttoptr(at, ir.PointerType()), align=size, typ=kind)

        return numba_kind(types.int64, types.int64), generate

    return load


load_float = _load(FLOAT, types.float32, 4)
"""(address, n): the n-th float32 from there."""
load_int = _load(LANE, types.int32, 4)
"""(address, n): the n-th int32 from there."""
load_long = _load(INT, types.int64, 8)
"""(address, n): the n-th int64 from there."""
load_double = _load(ir.DoubleType(), types.float64, 8)
"""(address, n): the n-th float64 from there."""
load_byte = _load(ir.IntType(8), types.uint8, 1)
"""(address, n): the n-th byte from there."""


def address_as(numba_kind: Any) -> Any:
    """The compiled function (address): a pointer to numbers of a kind, for `numba.carray`."""

    @instruction
    def pointer(context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return types.CPointer(numba_kind)(types.int64), generate  # type: ignore[no-untyped-call]

    return pointer


@instruction
def store_float(context: Any, base: Any, number: Any, value: Any) -> Any:
    """(address, n, x): x becomes the n-th float32 from there."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        at = builder.add(arguments[0], builder.mul(arguments[1], INT(BYTES)))
        builder.store(arguments[2], builder.inttoptr(at, ir.PointerType()), align=BYTES)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.float32), generate


@instruction
def take(context: Any, counter: Any) -> Any:
    """(address of an int64): its value; the next call, on any thread, gets one more.

    Writes before a call are visible after a later one.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        at = builder.inttoptr(arguments[0], ir.PointerType())
        return builder.atomic_rmw("add", at, INT(1), "acq_rel")

    return types.int64(types.int64), generate


@instruction
def fetch(context: Any, address: Any) -> Any:
    """(address): ask for its cache line, to be in the second cache when it is needed."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = ir.FunctionType(ir.VoidType(), [ir.PointerType(), LANE, LANE, LANE])
        asked = cgutils.get_or_insert_function(builder.module, kinds, "llvm.prefetch.p0")  # type: ignore[no-untyped-call]
        builder.call(asked, [builder.inttoptr(arguments[0], ir.PointerType()), LANE(0), LANE(2), LANE(1)])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@instruction
def float_of_bits(context: Any, bits: Any) -> Any:
    """The float32 that an int32 is when read as one."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], FLOAT)

    return types.float32(types.int32), generate


@instruction
def bits_of_float(context: Any, number: Any) -> Any:
    """The int32 that a float32 is when read as one."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.int32(types.float32), generate


@instruction
def fused(context: Any, a: Any, b: Any, c: Any) -> Any:
    """a·b + c in float32, rounded once."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.call(_multiply_add(builder, FLOAT, "f32"), arguments)

    return types.float32(types.float32, types.float32, types.float32), generate
