"""Softmax kernels beside torch.softmax and beside themselves on one thread, fp32, in one interleaved run for each way of waiting.

    python benchmarks/softmax.py                       64 rows, one and two threads
    python benchmarks/softmax.py --columns 4000 --threads 2 --name safe-numba

For each length the same calls take turns: ours and torch's on each number of threads, and torch's on one once more, which is the
A/A control. `passive`: OpenMP's threads sleep between calls, as in a trial of lab. `ordinary`: OMP_WAIT_POLICY is not set, as in a
notebook, so that those of the call before, torch's or ours, still look for work. No test: it asserts no time.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

BLOCK_SECONDS = 0.004
"""Of calls of one kind, one after another: as many as fit, at least one."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument

    def numbers(text: str) -> list[int]:
        return [int(number) for number in text.split(",")]

    add("--rows", type=int, default=64)
    add("--columns", type=numbers, default=[1000, 4000, 8000, 32_000, 128_000])
    add("--threads", type=numbers, default=[1, 2])
    add("--name", default="online-rescaled-numba", help="any softmax of the registry (%(default)s)")
    add("--rounds", type=int, default=30, help="(%(default)s)")
    add("--wait", default="passive,ordinary", help="passive, ordinary, or both with a comma")
    given = parser.parse_args()
    if "," in given.wait:
        for wait in given.wait.split(","):  # each in a process of its own: OpenMP reads it once
            subprocess.run([sys.executable, *sys.argv, "--wait", wait], check=True)
        return
    os.environ.pop("OMP_WAIT_POLICY", None)
    if given.wait == "passive":
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    measure(given)


def measure(given: argparse.Namespace) -> None:
    import torch
    from steps import Others, times_as_fast

    from lab.core.softmax import SOFTMAXES

    ours = SOFTMAXES[given.name]
    print(f"\n{given.wait}: {given.name} beside torch.softmax, {given.rows} rows, torch {torch.__version__}")
    beside: dict[int, list[float]] = {threads: [] for threads in given.threads}
    for columns in given.columns:
        x = torch.randn(given.rows, columns)
        calls: dict[tuple[str, int], Callable[[], object]] = {("again", 1): lambda x=x: torch.softmax(x, -1)}
        for threads in {1, *given.threads}:
            calls["ours", threads] = lambda x=x: ours(x)
            calls["torch", threads] = lambda x=x: torch.softmax(x, -1)
        others = Others()
        seconds = interleaved(calls, given.rounds)
        conditions = others.conditions(seconds["torch", 1], seconds["again", 1])
        for threads in given.threads:
            mine, theirs = seconds["ours", threads], seconds["torch", threads]
            if conditions.is_steady:
                beside[threads].append(statistics.median(b / a for a, b in zip(mine, theirs, strict=True)))
            where = f"{given.rows} x {columns:7,}, {threads} thread{'s' * (threads > 1)}: {statistics.median(mine) * 1e6:8.1f} µs"
            print(f"{where}, torch's {times_as_fast(mine, theirs, conditions)}", flush=True)
            if threads > 1:
                alone = seconds["ours", 1]
                print(f"{'':{len(where)}}  its own on one thread {times_as_fast(mine, alone, conditions)}")
    for threads, ratios in beside.items():
        of = f"{len(ratios)} of {len(given.columns)} lengths, {threads} thread{'s' * (threads > 1)}"
        mean = f"{math.exp(statistics.fmean(map(math.log, ratios))):.2f}" if ratios else "no ratio"
        print(f"geometric mean over {of}: {mean} times torch's speed")


def interleaved(
    calls: dict[tuple[str, int], Callable[[], object]], rounds: int
) -> dict[tuple[str, int], list[float]]:
    """Seconds of one call of each, by (name, threads), once for each round; blocks of calls in shuffled order."""
    import torch

    def block(threads: int, call: Callable[[], object], times: int) -> float:
        torch.set_num_threads(threads)
        call()  # whoever had the processors before, these threads have them now
        began = time.perf_counter()
        for _ in range(times):
            call()
        return (time.perf_counter() - began) / times

    times = {}
    for key, call in calls.items():
        block(key[1], call, 2)
        times[key] = max(1, int(BLOCK_SECONDS / block(key[1], call, 3)))
    seconds: dict[tuple[str, int], list[float]] = {key: [] for key in calls}
    order = list(calls)
    for _ in range(rounds):
        random.shuffle(order)
        for key in order:
            seconds[key].append(block(key[1], calls[key], times[key]))
    return seconds


if __name__ == "__main__":
    main()
