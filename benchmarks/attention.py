"""flash-numba beside PyTorch's own attention on a CPU: the whole grid of ratios, in one interleaved run.

    python benchmarks/attention.py                  one thread; --threads 2: two
    python benchmarks/attention.py --window         a sliding window of N/16 beside PyTorch's with a mask
    python benchmarks/attention.py --heads 1 --lengths 256,1024 --pass fwd
    python benchmarks/attention.py --features       soft caps, sinks, windows … beside `flash`, PyTorch having none
    python benchmarks/attention.py --few            1 to 16 queries beside many keys
    python benchmarks/attention.py --masks          masks of several shapes beside none, and beside PyTorch's with the same

Each call is timed in shuffled blocks beside PyTorch's, which is timed twice: its first time over its second is the
control, and what differs from 1 there is noise. Where it is off by more than 3% there is no ratio. A call's rate is set
against the FMA peak of this machine.
No test: it asserts no time.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from steps import Conditions, Others, ceilings, control_of, shown_ratio

BACKWARD = 3.5
"""Operations of a forward and a backward pass over those of a forward pass: 2 products, and 5 more."""


FEATURES: dict[str, dict[str, Any]] = {
    "cap+sink": {"causal": True, "softcap": 15.0, "sink": True},
    "window": {"causal": True, "window_size": (127, 0)},
    "alibi": {"causal": True, "alibi_slopes": True},
    "dropout": {"causal": True, "dropout_p": 0.1, "dropout_seed": 1},
}
"""True means a tensor with one number for each head."""


@dataclass(frozen=True)
class Row:
    """The result for one shape.

    Attributes:
        ratio: PyTorch's time over ours, the median over blocks, then the lower and upper quartile.
        seconds: of ours and of PyTorch's, medians.
        conditions: PyTorch's first time over its second, and what else stands beside a figure.
        rate: of ours, floating-point operations per second that a call needs at least.
        unsteady: PyTorch's 95th percentile over its median.
    """

    heads: int
    length: int
    kind: str
    direction: str
    ratio: tuple[float, float, float]
    seconds: tuple[float, float]
    conditions: Conditions
    rate: float
    unsteady: float


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument

    def numbers(text: str) -> list[int]:
        return [int(number) for number in text.split(",")]

    add("--threads", type=int, default=1)
    add("--heads", type=numbers, default=[1, 4, 16], help="batch x heads (1,4,16)")
    add("--lengths", type=numbers, default=[256, 512, 1024, 2048, 4096, 8192], help="N (256 to 8192)")
    add("--largest", type=int, default=2**26, help="heads x N^2 beyond which a shape is left out (2^26)")
    add("--pass", dest="directions", default="fwd,fwd+bwd", help="fwd, fwd+bwd, or both with a comma")
    add("--kinds", default="causal,dense", help="causal, dense, or both with a comma")
    add("--head-dim", type=int, default=64)
    add("--dtype", choices=("float32", "bfloat16", "float16"), default="float32")
    add("--features", action="store_true", help="only what PyTorch's own lacks, beside the backend flash")
    add("--few", action="store_true", help="only few queries, forward, 8 heads and 2 or 8 of keys")
    masked = "only masks, 4 heads, N = 512 and 2048, and one query beside N keys"
    add("--masks", action="store_true", help=masked)
    add("--window", action="store_true", help="only the sliding window, forward, N = 4096")
    add("--seconds", type=float, default=1.0, help="for each shape")
    add("--backend", default="flash-numba", help="any backend in its place")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    from lab.core.measure.threads import thread_environment

    os.environ.update(thread_environment(given.threads))
    import torch

    from lab.core.measure.ceiling import ceiling_of, peak_words
    from lab.core.measure.machine import processor
    from lab.core.measure.threads import use_threads

    use_threads(given.threads)
    peaks = ceilings()
    ceiling = ceiling_of(peaks)
    assert ceiling is not None, "a best product is always measured"
    peak = ceiling.gflops
    print(
        f"{processor()}, {os.cpu_count()} cores, torch {torch.__version__}, {torch.get_num_threads()} threads, "
        f"{given.dtype}, d = {given.head_dim}, load {os.getloadavg()[0]:.1f}"
    )
    print("\n".join(f"{name}: {words}" for name, words in peak_words(peaks)), flush=True)
    if given.window:
        window(given, peak)
        return
    if given.few or given.masks:
        (masks if given.masks else few_queries)(given)
        return
    print(f"heads      N  kind      pass      ratio [quartiles]  p95/median  GFLOP/s  of {ceiling.name}")
    rows = []
    for heads in given.heads:
        for length in given.lengths:
            if heads * length**2 > given.largest:
                continue
            for kind in FEATURES if given.features else given.kinds.split(","):
                for direction in given.directions.split(","):
                    rows.append(row(given, heads, length, kind, direction))
                    show(rows[-1], peak)
    summary(rows)


def row(given: argparse.Namespace, heads: int, length: int, kind: str, direction: str) -> Row:
    other = "flash" if given.features else "sdpa"
    options = FEATURES.get(kind, {"causal": kind == "causal"})
    calls = {
        name: call(given, backend, heads, length, options, direction)
        for name, backend in (("ours", given.backend), ("sdpa", other), ("again", other))
    }
    pairs: float = length**2
    if "window_size" in options:
        width = min(length, options["window_size"][0] + 1)
        pairs = width * (length - (width - 1) / 2)
    elif options["causal"]:
        pairs = length * (length + 1) / 2
    operations = 4.0 * heads * pairs * given.head_dim * (BACKWARD if direction == "fwd+bwd" else 1.0)
    return timed(given, calls, operations, heads=heads, length=length, kind=kind, direction=direction)


def timed(
    given: argparse.Namespace, calls: dict[str, Callable[[], object]], operations: float, **shape: Any
) -> Row:
    from lab.core.measure.timer import time_blocks

    others = Others()
    times = time_blocks(calls, budget_seconds=given.seconds, min_blocks=3, max_blocks=40)
    ours, sdpa, again = times["ours"], times["sdpa"], times["again"]
    ratios = [theirs / mine for theirs, mine in zip(sdpa, ours, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    late = statistics.quantiles(sdpa, n=20, method="inclusive")[-1] / statistics.median(sdpa)
    return Row(
        **shape,
        ratio=(middle, low, high),
        seconds=(statistics.median(ours), statistics.median(sdpa)),
        conditions=others.conditions(sdpa, again),
        rate=operations / statistics.median(ours),
        unsteady=late,
    )


def call(
    given: argparse.Namespace, backend: str, heads: int, length: int, options: dict[str, Any], direction: str
) -> Callable[[], object]:
    import torch

    from lab.core.attention import attention

    torch.manual_seed(0)
    backward, dtype = direction == "fwd+bwd", getattr(torch, given.dtype)
    q, k, v, dO = (torch.randn(1, heads, length, given.head_dim).to(dtype) for _ in range(4))
    options = {
        name: torch.linspace(0.1, 1, heads) if value is True and name != "causal" else value
        for name, value in options.items()
    }
    for x in (q, k, v):
        x.requires_grad_(backward)

    def run() -> object:
        output = attention(q, k, v, **options, backend=backend)
        return torch.autograd.grad(output, (q, k, v), dO) if backward else output

    return run


def few_queries(given: argparse.Namespace) -> None:
    """Times of ours, PyTorch's kernel and `short`, and the rate at which ours reads keys and values."""
    import torch

    from lab.core.attention import attention
    from lab.core.measure.timer import time_blocks

    print("heads  queries   keys      ours      sdpa     short  sdpa/ours  short/ours    GB/s")
    for kv_heads in (2, 8):
        for queries in (1, 4, 16):
            for keys in (256, 1024, 4096, 32768):
                q = torch.randn(1, 8, queries, given.head_dim)
                k, v = (torch.randn(1, kv_heads, keys, given.head_dim) for _ in range(2))
                calls: dict[str, Callable[[], object]] = {
                    name: partial(attention, q, k, v, backend=name)
                    for name in (given.backend, "sdpa", "short")
                }
                others = Others()
                times = time_blocks(
                    calls | {"again": calls["sdpa"]},
                    budget_seconds=given.seconds,
                    min_blocks=3,
                    max_blocks=40,
                )
                conditions = others.conditions(times["sdpa"], times["again"])
                ours, sdpa, short = (statistics.median(times[name]) for name in calls)
                ratios = [f"{theirs / ours:.2f}" if conditions.is_steady else "-" for theirs in (sdpa, short)]
                print(
                    f"  8/{kv_heads} {queries:8} {keys:6} {ours * 1e6:6.0f} µs {sdpa * 1e6:6.0f} µs "
                    f"{short * 1e6:6.0f} µs {ratios[0]:>10} {ratios[1]:>11} "
                    f"{8 * k.numel() / ours * 1e-9:7.1f}   {conditions}",
                    flush=True,
                )


def masks(given: argparse.Namespace) -> None:
    """The time of ours with a mask over that of ours without one, and PyTorch's time with this mask over ours."""
    import torch

    from lab.core.attention import attention
    from lab.core.measure.timer import time_blocks

    print("queries   keys  mask                  with / without  sdpa's / ours")
    for queries, keys in ((512, 512), (2048, 2048), (1, 4096)):
        q, k, v = (torch.randn(1, 4, n, given.head_dim) for n in (queries, keys, keys))
        some = torch.rand(1, 4, queries, keys) < 0.5
        some[..., 0] = True
        kinds = {
            "boolean": some[:, :1],
            "boolean, by head": some,
            "boolean, of keys": (torch.arange(keys) < keys * 3 // 4).view(1, 1, 1, keys),
            "boolean, causal": torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries),
            "added": torch.randn(queries, keys),
        }
        for kind, mask in kinds.items():
            plain = partial(attention, q, k, v, backend=given.backend)
            calls: dict[str, Callable[[], object]] = {
                "plain": plain,
                "again": plain,
                "ours": partial(attention, q, k, v, attn_mask=mask, backend=given.backend),
                "sdpa": partial(attention, q, k, v, attn_mask=mask, backend="sdpa"),
            }
            others = Others()
            times = time_blocks(calls, budget_seconds=given.seconds, min_blocks=3, max_blocks=40)
            conditions = others.conditions(times["plain"], times["again"])
            ratios = [
                f"{control_of(times[one], times[other]):.2f}" if conditions.is_steady else "-"
                for one, other in (("ours", "plain"), ("sdpa", "ours"))
            ]
            print(
                f"{queries:7} {keys:6}  {kind:20}  {ratios[0]:>14} {ratios[1]:>14}   {conditions}", flush=True
            )


def window(given: argparse.Namespace, peak: float) -> None:
    """A query and the N/16 − 1 keys before it, against PyTorch's kernel with the same window as a mask."""
    import torch

    from lab.core.attention import attention

    length = 4096
    left = length // 16 - 1
    at = torch.arange(length)
    mask = (at <= at[:, None]) & (at >= at[:, None] - left)
    for heads in given.heads:
        q, k, v = (torch.randn(1, heads, length, given.head_dim) for _ in range(3))

        def ours(q: Any = q, k: Any = k, v: Any = v) -> object:
            return attention(q, k, v, causal=True, window_size=(left, 0), backend=given.backend)

        def sdpa(q: Any = q, k: Any = k, v: Any = v) -> object:
            return attention(q, k, v, attn_mask=mask, backend="sdpa")

        difference = float((ours() - sdpa()).abs().max())  # type: ignore[operator]
        assert difference < 1e-5, f"the two differ by {difference}"
        found = timed(
            given,
            {"ours": ours, "sdpa": sdpa, "again": sdpa},
            4.0 * heads * int(mask.sum()) * given.head_dim,
            heads=heads,
            length=length,
            kind="window",
            direction="fwd",
        )
        show(found, peak)


def show(found: Row, peak: float) -> None:
    share = found.rate * 1e-9 / peak
    print(
        f"{found.heads:5} {found.length:6}  {found.kind:8}  {found.direction:7} "
        f"{shown_ratio(found.ratio, found.seconds, found.conditions):>20} {found.unsteady:11.2f} "
        f"{found.rate * 1e-9:8.0f} {f'{share:10.0%}' if share <= 1.03 else 'wrong ceiling'}   {found.conditions}",
        flush=True,
    )


def summary(rows: Sequence[Row]) -> None:
    """Of the rows whose control is steady."""
    print()
    steady = [each for each in rows if each.conditions.is_steady]
    for direction in dict.fromkeys(each.direction for each in steady):
        for kind in dict.fromkeys(each.kind for each in steady):
            for heads in (None, *dict.fromkeys(each.heads for each in steady)):
                some = [
                    each
                    for each in steady
                    if (each.direction, each.kind) == (direction, kind) and heads in (None, each.heads)
                ]
                if some:
                    ratios = [each.ratio[0] for each in some]
                    mean = math.exp(statistics.fmean(map(math.log, ratios)))
                    whose = "all" if heads is None else f"{heads} heads"
                    print(
                        f"{direction:7} {kind:8} {whose:8}: geometric mean {mean:.2f}, least {min(ratios):.2f}"
                    )
    controls = [each.conditions.control for each in rows]
    left_out = len(rows) - len(steady)
    print(
        f"control: {min(controls):.2f} to {max(controls):.2f}; {left_out} of {len(rows)} rows have no ratio"
    )


if __name__ == "__main__":
    sys.exit(main())
