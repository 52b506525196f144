"""flash-triton beside PyTorch's own kernels on a GPU: FlashAttention-2 and cuDNN, forward and backward.

    python benchmarks/attention_gpu.py                        bfloat16, d = 64 and 128, N = 1,024 to 16,384
    python benchmarks/attention_gpu.py --lengths 4096 --head-dims 128 --kinds causal --pass bwd

Each call is timed with CUDA events in shuffled blocks beside the others; FlashAttention-2 is timed twice, and its
first time over its second is the control: where it is off by more than 3%, or there is none, there are no ratios. Where
a kernel does not run, its column is empty. All agree before they are timed. No test: it asserts no time.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

from steps import Others

TOKENS = 1 << 14
"""Of a batch: N times so many elements of it, as in the papers of FlashAttention."""
WIDTH = 2048
"""Heads times head_dim, as there."""
PRODUCTS = {"fwd": 4.0, "bwd": 10.0}
"""Operations for each pair and number of a row: two products forward, five backward."""
THEIRS = {"FlashAttention-2": "FLASH_ATTENTION", "cuDNN": "CUDNN_ATTENTION"}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument

    def numbers(text: str) -> list[int]:
        return [int(number) for number in text.split(",")]

    add("--lengths", type=numbers, default=[1024, 2048, 4096, 8192, 16384], help="N (1024 to 16384)")
    add("--head-dims", type=numbers, default=[64, 128], help="d (64,128)")
    add("--kinds", default="causal,dense", help="causal, dense, or both with a comma")
    add("--pass", dest="directions", default="fwd,bwd", help="fwd, bwd, or both with a comma")
    add("--dtype", default="bfloat16", choices=["bfloat16", "float16"])
    add("--seconds", type=float, default=2.0, help="for each shape")
    return parser.parse_args()


def main() -> str | None:
    given = arguments()
    import torch

    if not torch.cuda.is_available():
        return "this compares kernels for a GPU, and there is no CUDA; benchmarks/attention.py is for the CPU"
    import triton

    print(
        f"{torch.cuda.get_device_name()}, torch {torch.__version__}, triton {triton.__version__}, {given.dtype}"
    )
    print(
        "   d      N  kind    pass   flash-triton  FlashAttention-2   cuDNN TFLOP/s   over FA-2  over cuDNN"
    )
    found: dict[tuple[str, str, str], list[float]] = {}
    for d in given.head_dims:
        for length in given.lengths:
            for kind in given.kinds.split(","):
                for direction in given.directions.split(","):
                    for whose, ratio in row(given, d, length, kind, direction):
                        found.setdefault((whose, direction, kind), []).append(ratio)
    print()
    for (whose, direction, kind), ratios in found.items():
        mean = math.exp(statistics.fmean(map(math.log, ratios)))
        print(
            f"{direction} {kind:6}: {whose}'s time over ours, geometric mean {mean:.2f}, least {min(ratios):.2f}"
        )
    return None


def row(
    given: argparse.Namespace, d: int, length: int, kind: str, direction: str
) -> Iterator[tuple[str, float]]:
    """Whose time over ours, and that."""
    from lab.core.measure.timer import time_blocks

    calls = calls_of(given, d, length, kind == "causal", direction)
    again = {"again": calls["FlashAttention-2"]} if "FlashAttention-2" in calls else {}
    others = Others()
    times = time_blocks(calls | again, device="cuda", budget_seconds=given.seconds, min_blocks=5)
    operations = PRODUCTS[direction] * max(1, TOKENS // length) * length**2 * WIDTH
    if kind == "causal":
        operations *= (length + 1) / (2 * length)
    rates = {name: operations / statistics.median(seconds) * 1e-12 for name, seconds in times.items()}
    ratios = {
        name: statistics.median(
            theirs / ours for theirs, ours in zip(times[name], times["ours"], strict=True)
        )
        for name in THEIRS
        if name in times
    }

    def shown(numbers: dict[str, float], name: str, width: int, digits: int) -> str:
        return f"{numbers[name]:{width}.{digits}f}" if name in numbers else " " * width

    twice = [times[name] for name in ("FlashAttention-2", "again")] if again else [[], []]
    conditions = others.conditions(*twice)
    if not conditions.is_steady:
        ratios = {}
    print(
        f"{d:4} {length:6}  {kind:6}  {direction:4} {rates['ours']:14.0f} {shown(rates, 'FlashAttention-2', 17, 0)} "
        f"{shown(rates, 'cuDNN', 15, 0)} {shown(ratios, 'FlashAttention-2', 11, 2)} {shown(ratios, 'cuDNN', 11, 2)} "
        f"  {conditions}",
        flush=True,
    )
    yield from ratios.items()


def calls_of(
    given: argparse.Namespace, d: int, length: int, causal: bool, direction: str
) -> dict[str, Callable[[], object]]:
    """By name: ours, and of theirs those that run here; all give the same, or this stops."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.nn.functional import scaled_dot_product_attention

    from lab.core.attention import attention

    torch.manual_seed(0)
    shape = (max(1, TOKENS // length), WIDTH // d, length, d)
    q, k, v, dO = (torch.randn(shape, device="cuda", dtype=getattr(torch, given.dtype)) for _ in range(4))
    for x in (q, k, v):
        x.requires_grad_(direction == "bwd")

    def ours() -> Any:
        return attention(q, k, v, causal=causal, backend="flash-triton")

    def theirs() -> Any:
        return scaled_dot_product_attention(q, k, v, is_causal=causal)

    def timed(forward: Callable[[], Any], context: Callable[[], Any]) -> tuple[Callable[[], object], Any]:
        """The timed call, and its result. The backward pass alone is timed, from one forward pass."""
        with context():
            output = forward()
        if direction == "bwd":
            call = lambda: torch.autograd.grad(output, (q, k, v), dO, retain_graph=True)  # noqa: E731
            return call, call()

        def call() -> object:
            with context():
                return forward()

        return call, (output,)

    calls = {}
    calls["ours"], mine = timed(ours, nullcontext)
    for name, backend in THEIRS.items():
        try:
            call, other = timed(theirs, partial(sdpa_kernel, getattr(SDPBackend, backend)))
        except RuntimeError as error:  # no such kernel for this GPU, dtype or shape
            print(f"{name} does not run: {str(error).splitlines()[0]}", file=sys.stderr)
            continue
        for a, b in zip(mine, other, strict=True):
            off = float((a.float() - b.float()).norm() / b.float().norm())
            assert off < 0.02, f"ours and {name} differ by {off:.1%}"
        calls[name] = call
    return calls


if __name__ == "__main__":
    sys.exit(main())
