"""Our matrix product of two tensors, on any number of threads. Needs Numba, which is imported by the first call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .threads import on_threads

if TYPE_CHECKING:
    from torch import Tensor


def multiplied(a: Tensor, b: Tensor, out: Tensor | None = None, threads: int = 1) -> Tensor:
    """A·B of float32 matrices (M, K) and (K, N) on the CPU, of any strides: `multiplied(x, weight.t())` copies nothing.

    The sums do not depend on the number of threads.

    Args:
        out: (M, N), whose rows are without gaps; it overlaps neither a nor b.
    Raises ValueError: other shapes, dtypes or devices.
    """
    from .products import packed_product
    from .vectors import COLUMNS, ROWS

    tensors = (a, b) if out is None else (a, b, out)
    if any(x.dim() != 2 or x.device.type != "cpu" or str(x.dtype) != "torch.float32" for x in tensors):
        raise ValueError("the product is one of float32 matrices on the CPU")
    (M, K), N = a.shape, b.shape[1]
    found = a.new_empty(M, N) if out is None else out
    if b.shape[0] != K or found.shape != (M, N) or found.stride(1) != 1 != N:
        raise ValueError(f"{tuple(a.shape)} · {tuple(b.shape)} does not give {tuple(found.shape)} in rows")
    if not K:
        return found.zero_()
    # Shares of columns each pack their own part of B, but are equal only if the panels can be divided.
    wide = -(-N // COLUMNS) % threads == 0 or 8 * ROWS * threads > M
    size, unit = (N, COLUMNS) if wide else (M, ROWS)
    blocks = -(-size // unit)

    def share(number: int) -> None:
        first, last = (min(size, blocks * i // threads * unit) for i in (number, number + 1))
        if first == last:
            return
        i, n = (0, first) if wide else (first, 0)
        packed_product(
            found.data_ptr() + 4 * (i * found.stride(0) + n),
            found.stride(0),
            a.data_ptr() + 4 * i * a.stride(0),
            *a.stride(),
            b.data_ptr() + 4 * n * b.stride(1),
            *b.stride(),
            M if wide else last - first,
            last - first if wide else N,
            K,
        )

    on_threads(share, threads, (a, b, found))
    return found
