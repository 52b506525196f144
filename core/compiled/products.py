"""Matrix products out of register blocks: small ones where B is read in place, and `product` of any size with B packed.

`product` goes over memory as Goto & van de Geijn do (Anatomy of High-Performance Matrix Multiplication, 2008, §4): a panel
of B, COLUMNS wide and DEPTH deep, stays in the first cache while the rows of A, TALL of them, come from the second.
"""

from __future__ import annotations

import numpy as np
from numba import float32

from .kernel import inlined, kernel
from .vectors import COLUMNS, LANES, ROWS, VECTORS, load_float, register_block, store_float, transpose

DEPTH = 384
"""Numbers of a sum at most: a panel of B is then 24 KB (AVX2), of which nothing is needed twice in AVX-512's 96."""
TALL = 96
"""Rows of A of a block: a multiple of ROWS, whose numbers fit in the second cache."""

_set = register_block(ROWS, VECTORS, accumulate=False)
_set_row = register_block(1, VECTORS, accumulate=False)
_add = register_block(ROWS, VECTORS, accumulate=True)
_add_row = register_block(1, VECTORS, accumulate=True)
_add_narrow = register_block(ROWS, 1, accumulate=True)
_add_narrow_row = register_block(1, 1, accumulate=True)


@inlined
def multiply(c, ldc, a, a_row, a_k, b, ldb, M, N, K):  # type: ignore[no-untyped-def]
    """C (M, N) = A·B for addresses and distances as in `register_block`; N is a multiple of COLUMNS."""
    for n in range(0, N, COLUMNS):
        i = 0
        while i + ROWS <= M:
            _set(c + 4 * (i * ldc + n), ldc, a + 4 * i * a_row, a_row, a_k, b + 4 * n, ldb, K)
            i += ROWS
        while i < M:
            _set_row(c + 4 * (i * ldc + n), ldc, a + 4 * i * a_row, a_row, a_k, b + 4 * n, ldb, K)
            i += 1


@inlined
def multiply_add(c, ldc, a, a_row, a_k, b, ldb, M, N, K):  # type: ignore[no-untyped-def]
    """C (M, N) += A·B; N is a multiple of LANES."""
    n = 0
    while n + COLUMNS <= N:
        i = 0
        while i + ROWS <= M:
            _add(c + 4 * (i * ldc + n), ldc, a + 4 * i * a_row, a_row, a_k, b + 4 * n, ldb, K)
            i += ROWS
        while i < M:
            _add_row(c + 4 * (i * ldc + n), ldc, a + 4 * i * a_row, a_row, a_k, b + 4 * n, ldb, K)
            i += 1
        n += COLUMNS
    while n < N:
        i = 0
        while i + ROWS <= M:
            _add_narrow(c + 4 * (i * ldc + n), ldc, a + 4 * i * a_row, a_row, a_k, b + 4 * n, ldb, K)
            i += ROWS
        while i < M:
            _add_narrow_row(c + 4 * (i * ldc + n), ldc, a + 4 * i * a_row, a_row, a_k, b + 4 * n, ldb, K)
            i += 1
        n += LANES


@inlined
def packed_size(N, K):  # type: ignore[no-untyped-def]
    """How many numbers B (K, N) takes when it is packed."""
    return (N + COLUMNS - 1) // COLUMNS * COLUMNS * K


@inlined
def pack(to, b, b_k, b_n, N, K):  # type: ignore[no-untyped-def]
    """B (K, N), whose number (k, n) is at b_k·k + b_n·n, into panels (K, COLUMNS) one after another, filled up with zeros."""
    for n0 in range(0, N, COLUMNS):
        width, panel = min(COLUMNS, N - n0), to + 4 * n0 * K
        turned = K // LANES * LANES if b_k == 1 and width == COLUMNS else 0
        for n in range(0, COLUMNS, LANES):
            for k in range(0, turned, LANES):
                transpose(panel + 4 * (k * COLUMNS + n), COLUMNS, b + 4 * ((n0 + n) * b_n + k), b_n)
        for k in range(turned, K):
            for n in range(width):
                store_float(panel, k * COLUMNS + n, load_float(b, k * b_k + (n0 + n) * b_n))
            for n in range(width, COLUMNS):
                store_float(panel, k * COLUMNS + n, float32(0.0))


@inlined
def _pack_rows(to, a, a_row, a_k, M, K):  # type: ignore[no-untyped-def]
    """A (M, K) into panels (K, ROWS) one after another, filled up with zeros."""
    for i0 in range(0, M, ROWS):
        height, panel = min(ROWS, M - i0), to + 4 * i0 * K
        if height == ROWS and a_row == 1:
            for k in range(K):
                for i in range(ROWS):  # numbers beside each other, of a count that compilers know
                    store_float(panel, k * ROWS + i, load_float(a + 4 * (i0 + k * a_k), i))
            continue
        for k in range(K):
            for i in range(height):
                store_float(panel, k * ROWS + i, load_float(a, (i0 + i) * a_row + k * a_k))
            for i in range(height, ROWS):
                store_float(panel, k * ROWS + i, float32(0.0))


@inlined
def product(c, ldc, a, a_row, a_k, packed, M, N, K, accumulate):  # type: ignore[no-untyped-def]
    """C (M, N) = A·B, or C += A·B where it is to `accumulate`, for a B that `pack` has packed and any M, N and K.

    Addresses and distances as in `register_block`. Rows of A that are without gaps are read where they are, others are
    packed first. C overlaps neither A nor B.
    """
    parts = max(1, (K + DEPTH - 1) // DEPTH)
    depth = (K + parts - 1) // parts
    in_place = a_k == 1 and M >= ROWS
    kept = np.empty(ROWS * COLUMNS + (ROWS if in_place else TALL) * depth, np.float32)
    edge = kept.ctypes.data
    rows = edge + 4 * ROWS * COLUMNS
    for k0 in range(0, K, depth):
        deep, more = min(depth, K - k0), accumulate or k0 > 0
        for i0 in range(0, M, TALL):
            tall, block = min(TALL, M - i0), a + 4 * (i0 * a_row + k0 * a_k)
            first = tall // ROWS * ROWS if in_place else 0  # rows from here on are packed
            if first < tall:
                _pack_rows(rows, block + 4 * first * a_row, a_row, a_k, tall - first, deep)
            for n in range(0, N, COLUMNS):
                b, width = packed + 4 * (n * K + k0 * COLUMNS), min(COLUMNS, N - n)
                for i in range(0, tall, ROWS):
                    to, height = c + 4 * ((i0 + i) * ldc + n), min(ROWS, tall - i)
                    at, row, step = block + 4 * i * a_row, a_row, a_k
                    if i >= first:
                        at, row, step = rows + 4 * (i - first) * deep, 1, ROWS
                    whole = height == ROWS and width == COLUMNS
                    if whole and more:
                        _add(to, ldc, at, row, step, b, COLUMNS, deep)
                        continue
                    _set(to if whole else edge, ldc if whole else COLUMNS, at, row, step, b, COLUMNS, deep)
                    if not whole:
                        for r in range(height):
                            for n_r in range(width):
                                x = load_float(edge, r * COLUMNS + n_r)
                                x = x + load_float(to, r * ldc + n_r) if more else x
                                store_float(to, r * ldc + n_r, x)


@kernel
def packed_product(c, ldc, a, a_row, a_k, b, b_k, b_n, M, N, K):  # type: ignore[no-untyped-def]
    """C (M, N) = A·B for addresses and distances as in `product` and `pack`; B is packed first."""
    packed = np.empty(packed_size(N, K), np.float32)
    pack(packed.ctypes.data, b, b_k, b_n, N, K)
    product(c, ldc, a, a_row, a_k, packed.ctypes.data, M, N, K, False)
