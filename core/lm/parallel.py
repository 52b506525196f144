"""Runs independent pieces of work on several cores.

A small model's operations are too short to split: two threads of torch would wait for each other after each of
hundreds. Two threads of Python, each with one of torch, wait once, since torch releases Python's global lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from ..compiled.threads import on_threads

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def cores(device: torch.device) -> int:
    """The number of pieces that run at once: torch's threads on a CPU, 1 on a GPU."""
    return torch.get_num_threads() if device.type == "cpu" else 1


def each(work: Callable[[Piece], Result], pieces: Sequence[Piece], device: torch.device) -> list[Result]:
    """`work` on each of the pieces, as many at once as there are `cores`; the results in the order of the pieces.

    Gradient mode and autocast belong to a thread: `work` sets its own.

    Raises Exception: what the first piece that failed has raised.
    """
    at_once = min(cores(device), len(pieces))
    if at_once <= 1:
        return [work(piece) for piece in pieces]
    threads = torch.get_num_threads()
    left, found, errors = deque(range(len(pieces))), dict[int, Result](), dict[int, BaseException]()

    def some(_thread: int) -> None:
        # Of this thread; a new one begins with the number that was set last, by whichever thread.
        torch.set_num_threads(1)
        while left:
            try:
                i = left.popleft()
            except IndexError:  # another was quicker
                return
            try:
                found[i] = work(pieces[i])
            except BaseException as error:
                errors[i] = error

    try:
        on_threads(some, at_once)
    finally:
        torch.set_num_threads(threads)
    if errors:
        raise errors[min(errors)]
    return [found[i] for i in range(len(pieces))]
