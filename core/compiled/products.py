"""Matrix products of any number of rows, out of register blocks."""

from __future__ import annotations

from .kernel import inlined
from .vectors import COLUMNS, LANES, ROWS, VECTORS, register_block

FEWER = 4
"""Rows of the blocks that take what is left by those of ROWS: enough sums to keep the processor busy, as a single row has not.
8 rows are two of them, rather than one of 6 and two single rows."""
_set_fewer = register_block(FEWER, VECTORS, accumulate=False)
_add_fewer = register_block(FEWER, VECTORS, accumulate=True)
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
        while i + ROWS <= M and M - i != 2 * FEWER:
            _set(c + 4 * (i * ldc + n), ldc, a + 4 * i * a_row, a_row, a_k, b + 4 * n, ldb, K)
            i += ROWS
        while i + FEWER <= M:
            _set_fewer(c + 4 * (i * ldc + n), ldc, a + 4 * i * a_row, a_row, a_k, b + 4 * n, ldb, K)
            i += FEWER
        while i < M:
            _set_row(c + 4 * (i * ldc + n), ldc, a + 4 * i * a_row, a_row, a_k, b + 4 * n, ldb, K)
            i += 1


@inlined
def multiply_add(c, ldc, a, a_row, a_k, b, ldb, M, N, K):  # type: ignore[no-untyped-def]
    """C (M, N) += A·B; N is a multiple of LANES."""
    n = 0
    while n + COLUMNS <= N:
        i = 0
        while i + ROWS <= M and M - i != 2 * FEWER:
            _add(c + 4 * (i * ldc + n), ldc, a + 4 * i * a_row, a_row, a_k, b + 4 * n, ldb, K)
            i += ROWS
        while i + FEWER <= M:
            _add_fewer(c + 4 * (i * ldc + n), ldc, a + 4 * i * a_row, a_row, a_k, b + 4 * n, ldb, K)
            i += FEWER
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
