"""The FMA peak: how many multiply-adds this processor does in a second when nothing else holds it up.

A compiled loop keeps all numbers in registers and does nothing but s ← s·x + y, with as many independent sums s as it takes
for none to wait. No kernel in this dtype without matrix units can be faster, whatever its library.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

OPERATIONS = 1 << 24
"""Vector instructions of a sample, over all sums: 2.5 ms at two a cycle and 3.3 GHz. Longer ones are disturbed more often."""
SAMPLES = 16
_ROUNDS_COUNTED = 1 << 24  # beyond, float32 has no odd numbers


class Miscounted(Exception):
    """A loop did not do all of its multiply-adds, so that its rate says nothing."""


@dataclass(frozen=True)
class FmaPeak:
    """The best rate of multiply-adds in registers, which count two operations each.

    Attributes:
        gflops: 10⁹ operations a second, all threads together.
        samples: the rates of all samples of the best loop; what they differ by is noise of machine and clock.
        bits: of its vectors.
        sums: that do not wait for each other.
        by_bits: the best rate at each width that the processor has.
        dtype: "float32" or "float64".
        threads: that did it at the same time.
    """

    gflops: float
    samples: tuple[float, ...]
    bits: int
    sums: int
    by_bits: Mapping[str, float]
    dtype: str
    threads: int


def measure_fma(dtype: str, threads: int, samples: int = SAMPLES) -> FmaPeak:
    """The best of every width and number of sums, then more samples of that one. Takes about a third of a second, the
    first time on a machine some seconds more, for compiling.

    Args:
        dtype: of the arithmetic: "float32" or "float64".

    Raises:
        Refused: Numba is missing.
        Miscounted: the sums are not what so many multiply-adds come to.
    """
    from . import loops

    kinds = [(bits, sums) for bits in loops.BITS for sums in loops.CHAINS]
    first = [list(rates(dtype, threads, which, 2)) for which in range(len(kinds))]
    by_bits: dict[str, float] = {}
    for (bits, _), found in zip(kinds, first, strict=True):
        by_bits[str(bits)] = max(by_bits.get(str(bits), 0.0), *found)
    best = max(range(len(kinds)), key=lambda which: max(first[which]))
    sampled = (*first[best], *rates(dtype, threads, best, samples))
    bits, sums = kinds[best]
    by_bits[str(bits)] = max(sampled)
    return FmaPeak(max(sampled), sampled, bits, sums, by_bits, dtype, threads)


def rates(dtype: str, threads: int, which: int, samples: int) -> Iterator[float]:
    """10⁹ operations a second of a loop, `which` counting the pairs of `loops.BITS` and `loops.CHAINS`; one sample after a
    short warm-up, which compiles or loads it. Raises Refused or Miscounted, as `measure_fma` does."""
    from ..compiled.code import refuse_without_numba

    refuse_without_numba("the FMA peak")
    import numpy as np

    from . import loops
    from .together import seconds_together

    bits, sums = loops.BITS[which // len(loops.CHAINS)], loops.CHAINS[which % len(loops.CHAINS)]
    kind = np.dtype(dtype)
    numbers = sums * bits // (8 * kind.itemsize)
    loop = loops.MULTIPLY_ADDS[dtype]
    # x, y, and 0, 1, 2, … as the first values, so that no two sums are alike.
    start = np.concatenate([np.ones(2, kind), np.arange(numbers, dtype=kind)])
    found = np.empty((threads, numbers), kind)

    def seconds(rounds: int) -> float:
        found.fill(0)

        def work(thread: int, counter: int) -> None:
            loop(which, counter, threads, rounds, start.ctypes.data, found[thread].ctypes.data)

        taken = seconds_together(work, threads)
        if not (found == start[2:] + rounds).all():
            raise Miscounted(f"{bits} bits and {sums} sums of {dtype} did not count to {rounds}")
        return taken

    rounds = min(OPERATIONS // sums, _ROUNDS_COUNTED - numbers) // 4 * 4
    seconds(rounds // 16 // 4 * 4)
    for _ in range(samples):
        yield 2.0 * threads * numbers * rounds / seconds(rounds) * 1e-9
