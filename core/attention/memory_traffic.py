"""What attention moves between slow and fast memory, found by walking the algorithms and adding up what they touch.

Slow memory is a GPU's HBM or a computer's main memory; fast memory is what is on the chip and holds M numbers. The
walks follow Dao et al., "FlashAttention" (arXiv:2205.14135), line by line: Algorithms 0 and 3 for standard attention,
1 and 4 for flash attention, without masks and dropout, every number of one size. Theorem 2 says what comes out:
Θ(Nd + N²) for standard, Θ(N²d²/M) for flash attention.

    traffic("flash", 1024, 64, onchip_bytes=192 * 1024, itemsize=2, direction="fwd+bwd", heads=64 * 16)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

Direction = Literal["fwd", "fwd+bwd"]
Algorithm = Literal["standard", "flash"]


@dataclass
class SlowMemory:
    """Counts what is read from it and written to it, in numbers."""

    loads: int = 0
    stores: int = 0

    def load(self, *numbers: int) -> None:
        self.loads += sum(numbers)

    def store(self, *numbers: int) -> None:
        self.stores += sum(numbers)


@cache
def traffic(
    algorithm: Algorithm,
    N: int,
    d: int,
    *,
    onchip_bytes: int,
    itemsize: int,
    direction: Direction = "fwd",
    heads: int = 1,
) -> int:
    """Bytes read and written for `heads` heads (times the batch), each of N queries and N keys of size d.

    Args:
        onchip_bytes: the fast memory. Standard attention, whose operators stream what they need, does not use it.
        itemsize: bytes of a number.
    Raises ValueError: the fast memory does not hold even one row of Q, K, V and O.
    """
    memory = SlowMemory()
    if algorithm == "standard":
        standard_forward(memory, N, d)
        if direction == "fwd+bwd":
            standard_backward(memory, N, d)
    else:
        B_r, B_c = block_sizes(onchip_bytes // itemsize, d)
        flash_forward(memory, N, d, B_r, B_c)
        if direction == "fwd+bwd":
            flash_backward(memory, N, d, B_r, B_c)
    return (memory.loads + memory.stores) * itemsize * heads


def block_sizes(M: int, d: int) -> tuple[int, int]:
    """B_r = min(⌈M/4d⌉, d) and B_c = ⌈M/4d⌉ (Algorithm 1, line 1), for a fast memory of M numbers."""
    if 4 * d > M:
        raise ValueError(f"{M} numbers on the chip do not hold one row each of Q, K, V and O, of {d} numbers")
    B_c = math.ceil(M / (4 * d))
    return min(B_c, d), B_c


def standard_forward(memory: SlowMemory, N: int, d: int) -> None:
    """Algorithm 0. Each of its three operators reads what it needs once, as the paper counts."""
    memory.load(N * d, N * d)  # 1: Q and K, by blocks
    memory.store(N * N)  # S
    memory.load(N * N)  # 2: S
    memory.store(N * N)  # P
    memory.load(N * N, N * d)  # 3: P and V
    memory.store(N * d)  # O


def standard_backward(memory: SlowMemory, N: int, d: int) -> None:
    """Algorithm 3."""
    memory.load(N * N, N * d)  # 1: P and dO
    memory.store(N * d)  # dV
    memory.load(N * d, N * d)  # 2: dO and V
    memory.store(N * N)  # dP
    memory.load(N * N, N * N)  # 3: P and dP
    memory.store(N * N)  # dS
    memory.load(N * N, N * d)  # 4: dS and K
    memory.store(N * d)  # dQ
    memory.load(N * N, N * d)  # 5: dS and Q
    memory.store(N * d)  # dK


def flash_forward(memory: SlowMemory, N: int, d: int, B_r: int, B_c: int) -> None:
    """Algorithm 1."""
    memory.store(N * d, N, N)  # 2: O, ℓ and m, as zeros and −∞
    for c in _sizes(N, B_c):  # 5
        memory.load(c * d, c * d)  # 6: K_j and V_j
        for r in _sizes(N, B_r):  # 7
            memory.load(r * d, r * d, r, r)  # 8: Q_i, O_i, ℓ_i and m_i
            memory.store(r * d)  # 12: O_i
            memory.store(r, r)  # 13: ℓ_i and m_i


def flash_backward(memory: SlowMemory, N: int, d: int, B_r: int, B_c: int) -> None:
    """Algorithm 4."""
    memory.store(N * d, N * d, N * d)  # 5: dQ, dK and dV, as zeros
    for c in _sizes(N, B_c):  # 6
        memory.load(c * d, c * d)  # 7: K_j and V_j; dK_j and dV_j begin as zeros on the chip
        for r in _sizes(N, B_r):  # 9
            memory.load(r * d, r * d, r * d, r * d, r, r)  # 10: Q_i, O_i, dO_i, dQ_i, ℓ_i and m_i
            memory.store(r * d)  # 21: dQ_i
        memory.store(c * d, c * d)  # 24: dK_j and dV_j


def _sizes(N: int, B: int) -> Iterator[int]:
    """The blocks that N is cut into; the last may be smaller."""
    for start in range(0, N, B):
        yield min(B, N - start)
