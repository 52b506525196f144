"""Shared by the benchmarks: what stands beside each figure, and how a step and its matrix products alone are timed."""

from __future__ import annotations

import argparse
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from lab.core.measure.threads import thread_environment


@dataclass
class Watch:
    """Seconds spent in what it wraps."""

    seconds: float = 0.0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*given: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*given, **named)
            finally:
                self.seconds += time.perf_counter() - began

        return timed


OFF = 0.03
"""Off by more than this, an A/A control says that the machine was not steady enough for a ratio."""


@dataclass(frozen=True)
class Conditions:
    """What stands beside each figure.

    Attributes:
        control: one call timed twice in each round: its first seconds over its second. 1 but for noise; NaN without one.
        others: processors that other processes used meanwhile, on average.
        cpu: the processor's model.
    """

    control: float
    others: float
    cpu: str

    def __str__(self) -> str:
        return f"A/A {self.control:.3f}, load of others {self.others:.1f} cores, {self.cpu}"

    @property
    def is_steady(self) -> bool:
        return abs(self.control - 1) <= OFF


class Others:
    """Watches the processors from now on: a busy neighbour explains slow steps."""

    def __init__(self) -> None:
        from lab.core.measure.load import used_by_others

        self.used = used_by_others()

    def conditions(self, first: Sequence[float], again: Sequence[float]) -> Conditions:
        """Of what was timed since this was made, for the seconds of one call that was timed twice in each round."""
        from lab.core.measure.machine import processor

        return Conditions(control_of(first, again), self.used(), processor())


def control_of(first: Sequence[float], again: Sequence[float]) -> float:
    """The median over rounds of the first seconds over the second."""
    ratios = [a / b for a, b in zip(first, again, strict=True)]
    return statistics.median(ratios) if ratios else math.nan


Step = TypeVar("Step")


def twice(steps: Iterator[Step], number: int) -> tuple[Step, Step]:
    """Two steps for a control, in round `number`. They change places in every other round, so that neither is always
    the one that comes after another trainer's step."""
    one, other = next(steps), next(steps)
    return (one, other) if number % 2 else (other, one)


def times_as_fast(
    ours: Sequence[float], theirs: Sequence[float], conditions: Conditions, digits: int = 2
) -> str:
    """`1.96 [1.93, 1.99] times as fast over 12 rounds (A/A 1.004, …)`: their seconds over ours, round by round, median and
    quartiles. Where the control is off by more than 3%, or there is none: no ratio, and the seconds of both."""
    rounds = f"{len(ours)} round{'s' * (len(ours) != 1)} ({conditions})"
    if conditions.is_steady:
        ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
        return f"{spread(ratios, digits)} times as fast over {rounds}"
    return (
        f"no ratio, because the A/A control is off by more than {OFF:.0%}: ours {spread(ours, 4)} s, "
        f"the other {spread(theirs, 4)} s over {rounds}"
    )


def add_common(parser: argparse.ArgumentParser, pairs: int) -> None:
    """The options that every benchmark of a step has."""
    add = parser.add_argument
    add("--pairs", type=int, default=pairs, help="timed steps of each, in turn (%(default)s)")
    add("--warmup", type=int, default=2, help="steps of each before that (%(default)s)")
    add("--threads", type=int, default=2)
    add("--wait", choices=("passive", "active"), default="passive", help="OpenMP's OMP_WAIT_POLICY")
    add("--alone", action="store_true", help="without TRL")
    rows = "the most expensive operations of one step of ours"
    add("--profile", type=int, default=0, metavar="ROWS", help=rows)


def settle(given: argparse.Namespace) -> None:
    """Set threads and environment before torch, which reads them, is loaded; print a line about the machine."""
    os.environ.update(thread_environment(given.threads) if given.wait == "passive" else {})
    os.environ["OMP_NUM_THREADS"] = str(given.threads)
    os.environ |= {
        "HF_HUB_OFFLINE": "1",
        "KINETO_LOG_LEVEL": "6",
        "TOKENIZERS_PARALLELISM": "false",
        "CUDA_VISIBLE_DEVICES": "",
    }
    from lab.core.measure.threads import use_threads

    use_threads(given.threads)
    import torch

    from lab.core.measure.machine import processor

    print(
        f"{processor()}, {os.cpu_count()} cores, torch {torch.__version__}, {torch.get_num_threads()} threads, "
        f"OMP_WAIT_POLICY {os.environ.get('OMP_WAIT_POLICY', 'default')}, load {os.getloadavg()[0]:.1f}"
    )


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Median and quartiles."""
    if len(values) < 2:
        return f"{values[0]:,.{digits}f}"
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:,.{digits}f} [{low:,.{digits}f}, {high:,.{digits}f}]"


def shown_ratio(
    ratio: tuple[float, float, float], seconds: tuple[float, float], conditions: Conditions
) -> str:
    """`1.63 [1.60, 1.66]` of a row of a table; where there is no ratio, ours and the other's in milliseconds."""
    if conditions.is_steady:
        return f"{ratio[0]:.2f} [{ratio[1]:.2f}, {ratio[2]:.2f}]"
    return f"none: {seconds[0] * 1e3:.3g}, {seconds[1] * 1e3:.3g} ms"


def ceilings() -> dict[str, Any]:
    """What this machine can do at best in float32, on torch's threads: fields of `lab.core.measure.peaks.Peaks`."""
    from dataclasses import asdict

    from lab.core.measure.peaks import measure_peaks

    return asdict(measure_peaks("float32", "cpu", 3.0))


def shares(rate: float, peaks: dict[str, Any]) -> str:
    """`40 GFLOP/s, 39% of the FMA peak (102 GFLOP/s, …) and 44% of the best product (91 GFLOP/s, …)`.

    A share above 103% is none: what was measured as the ceiling is wrong, and the words say so.

    Args:
        rate: 10⁹ operations per second.
        peaks: as `ceilings` makes them.
    """
    from lab.core.measure.ceiling import ABOVE_ANY_CEILING, FMA, PRODUCT, WRONG, ceiling_of, peak_words

    lines, said = dict(peak_words(peaks)), []
    fma, ceiling = (peaks["fma"] or {}).get("gflops"), ceiling_of(peaks)
    for name, best in ((FMA, fma), (PRODUCT, peaks["matmul_gflops"])):
        if best is None:
            said.append(f"no {name} ({lines[name].removeprefix('none: ')})")
        elif ceiling is not None and name == ceiling.name and 100 * rate > ABOVE_ANY_CEILING * best:
            said.append(f"more than the {name}, a {WRONG} ({lines[name]})")
        else:
            said.append(f"{rate / best:.0%} of the {name} ({lines[name]})")
    return f"{rate:.0f} GFLOP/s, {' and '.join(said)}"


def products_alone(shapes: Sequence[tuple[int, int, int]], times: int = 1, best_of: int = 5) -> float:
    """Seconds of the matrix products alone, forward and backward.

    Args:
        shapes: (rows, out, in) of x (rows, in) · wᵀ (in, out).
        times: all of them so often.
        best_of: tries, of which the fastest counts.
    """
    import torch

    best = math.inf
    with torch.no_grad():
        tensors = [(torch.randn(n, d), torch.randn(out, d), torch.randn(n, out)) for n, out, d in shapes]
        for _ in range(best_of):
            began = time.perf_counter()
            for _ in range(times):
                for x, w, g in tensors:
                    x @ w.T, g @ w, g.T @ x
            best = min(best, time.perf_counter() - began)
    return best


PRODUCTS = "aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "attention_for_cpu"


def show_profile(rows: int, step: Iterator[Any]) -> None:
    """Print the most expensive operations of one step, over all threads, and the share of its matrix products."""
    from torch.autograd.profiler import profile

    with profile() as profiled:
        taken = next(step)
    print(f"\none step of ours under the profiler, {taken.total:.3f} s:")
    table = profiled.key_averages()
    whole = sum(each.self_cpu_time_total for each in table)
    for each in sorted(table, key=lambda each: -each.self_cpu_time_total)[:rows]:
        seconds = each.self_cpu_time_total * 1e-6
        print(f"  {each.key:52.52} {each.count:7,} calls {seconds:7.4f} s {seconds / whole * 1e6:5.1%}")
    products = sum(each.self_cpu_time_total for each in table if any(name in each.key for name in PRODUCTS))
    print(f"matrix products, attention's and the optimizer's among them: {products / whole:.0%}")
