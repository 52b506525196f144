"""What a run's figures are compared with, read from the peaks that it measured. No torch here.

Peaks of earlier versions have PyTorch's matrix product alone, which is no ceiling, and are called so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .copies import CopyRate, least_seconds

FMA, PRODUCT, TORCH = "FMA peak", "best product", "PyTorch's matmul"
WRONG = "wrong ceiling"
"""The word for a share that is above any doubt: what was called a ceiling is none."""
ABOVE_ANY_CEILING = 103.0
"""Percent: beyond the noise of both rates."""


@dataclass(frozen=True)
class Ceiling:
    """The rate that no arithmetic passes.

    Attributes:
        name: "FMA peak", "best product", or, of a run by an earlier version, "PyTorch's matmul".
        gflops: 10⁹ operations per second.
        why: why it is not the FMA peak; empty where it is.
    """

    name: str
    gflops: float
    why: str = ""


def ceiling_of(peaks: Mapping[str, Any]) -> Ceiling | None:
    """The FMA peak; the best product where there is none, or where it is faster, as products in matrix units are."""
    fma = _rate(_part(peaks, "fma"), "gflops")
    product = _rate(peaks, "matmul_gflops")
    if fma and not (product and 100 * product > ABOVE_ANY_CEILING * fma):
        return Ceiling(FMA, fma)
    if not product:
        return None
    if "fma" not in peaks:
        return Ceiling(TORCH, product, "measured by an earlier version, which knew no FMA peak")
    if not fma:
        return Ceiling(PRODUCT, product, f"no FMA peak: {peaks.get('without_fma') or 'it was not measured'}")
    return Ceiling(
        PRODUCT, product, f"faster than the FMA peak of {_short(fma)} GFLOP/s: it has units of its own"
    )


def with_repeats(measured: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What was measured before the first repeat, with the FMA peaks before it and after each as `fma_by_repeat`."""
    rates = [_rate(_part(peaks, "fma"), "gflops") for peaks in measured]
    return {**measured[0], "fma_by_repeat": rates} if rates[0] else dict(measured[0])


def in_repeat(peaks: Mapping[str, Any], repeat: int) -> float | None:
    """GFLOP/s of the ceiling during a repeat: of the FMA peaks measured right before it and right after it, the higher."""
    found = ceiling_of(peaks)
    if found is None:
        return None
    if found.name != FMA:
        return found.gflops
    between = [rate for rate in _between(peaks)[repeat : repeat + 2] if rate]
    return max(between, default=found.gflops)


def _between(peaks: Mapping[str, Any]) -> Sequence[float | None]:
    """The FMA peaks measured before the first repeat and after each, in order."""
    rates = peaks.get("fma_by_repeat")
    return [_positive(rate) for rate in rates] if isinstance(rates, list) else []


def copies_of(peaks: Mapping[str, Any]) -> list[CopyRate]:
    """The rates of copies, memory last; of a run by an earlier version memory alone."""
    found = []
    listed = peaks.get("copies")
    for each in listed if isinstance(listed, list | tuple) else ():
        rate = _rate(each, "gb_per_s") if isinstance(each, Mapping) else None
        if rate:
            level, capacity = str(each.get("level")), each.get("capacity")
            size = int(capacity) if _positive(capacity) else None
            found.append(CopyRate(level, rate, (), 0, size))
    if not any(copy.capacity is None for copy in found) and (rate := _rate(peaks, "copy_gb_per_s")):
        found.append(CopyRate("memory", rate, (), 0, None))
    return found


def fastest_copy(peaks: Mapping[str, Any], moved: float) -> float | None:
    """10⁹ bytes per second that moving so many bytes reaches at most, from the caches that they can be in."""
    copies = copies_of(peaks)
    if not copies or copies[-1].capacity is not None:
        return None
    return moved / least_seconds(moved, copies) * 1e-9 if moved > 0 else None


def peak_words(peaks: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What was measured in lines of name and value: `FMA peak`, `102 GFLOP/s (…)`."""
    threads = peaks.get("threads")
    on = f", {threads} thread{'s' * (threads != 1)}" if threads else ""
    fma, product = _part(peaks, "fma"), _rate(peaks, "matmul_gflops")
    if (rate := _rate(fma, "gflops")) is not None:
        others = _part(fma, "by_bits")
        narrower = [f"{bits} bits {_short(others[bits])}" for bits in others if bits != str(fma.get("bits"))]
        said = [f"vectors of {fma.get('bits')} bits, {fma.get('sums')} sums", str(fma.get("dtype"))]
        rates = [each for each in _between(peaks) if each] or _rates(fma.get("samples"))
        said += [f"samples {_short(min(rates))} to {_short(max(rates))}"] if len(rates) > 1 else []
        yield FMA, f"{_short(rate)} GFLOP/s{on} ({', '.join(said + narrower)})"
    elif "fma" in peaks:
        yield FMA, f"none: {peaks.get('without_fma')}"
    if product:
        name = PRODUCT if "fma" in peaks else TORCH
        said = [str(peaks["matmul_library"])] if peaks.get("matmul_library") else []
        said += [f"n = {peaks['matmul_size']:,}"] if _positive(peaks.get("matmul_size")) else []
        said += [width] if (width := _width(peaks, product)) else []
        yield name, f"{_short(product)} GFLOP/s{on}" + (f" ({', '.join(said)})" if said else "")
    if copies := copies_of(peaks):
        yield "copies", ", ".join(f"{copy.level} {_short(copy.gb_per_s)}" for copy in copies) + f" GB/s{on}"
    ceiling = ceiling_of(peaks)
    if ceiling is not None and ceiling.why:
        yield "ceiling", f"{ceiling.name}, because {ceiling.why}" if ceiling.name != TORCH else ceiling.why


def _width(peaks: Mapping[str, Any], product: float) -> str:
    """The bits of the vectors that the best product uses: as its library says, else those that its rate needs at least."""
    if _positive(peaks.get("matmul_bits")):
        return f"vectors of {peaks['matmul_bits']} bits"
    if _part(peaks, "fma").get("dtype") != peaks.get("dtype"):
        return ""
    by_bits = {bits: rate for bits, rate in _part(_part(peaks, "fma"), "by_bits").items() if _positive(rate)}
    wide = [int(bits) for bits, rate in by_bits.items() if str(bits).isdecimal() and rate >= product]
    return f"vectors of {min(wide)} bits or more" if wide and len(by_bits) > 1 else ""


def _part(facts: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = facts.get(key)
    return part if isinstance(part, Mapping) else {}


def _rate(facts: Mapping[str, Any], key: str) -> float | None:
    return _positive(facts.get(key))


def _rates(values: Any) -> list[float]:
    return [value for value in values if _positive(value)] if isinstance(values, list | tuple) else []


def _positive(value: Any) -> float | None:
    """A number above zero; files of runs may hold anything."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 < value < math.inf else None


def _short(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"
