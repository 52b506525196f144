"""Memory for what a forward pass leaves to its gradient, used again by the next pass.

Fresh memory is zeroed by the kernel page by page when it is first written; that took as long as a pass over it.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

_unused: dict[int, Tensor] = {}
"""By their `id`: a tensor compares by its numbers, and a list would be changed by a thread while another looks through it."""
_lock = threading.Lock()
ALIGNED = 16
"""Numbers: a cache line."""


class Workspace:
    """Tensors of given shapes in one piece of memory, which is somebody else's once this object is gone."""

    def __init__(self, shapes: Sequence[tuple[int, ...]]) -> None:
        starts, size = [], 0
        for shape in shapes:
            starts.append(size)
            size += -(-prod(shape) // ALIGNED) * ALIGNED
        # What inference mode makes, nobody else may change.
        with torch.inference_mode(False):
            memory = _take(size)
            pairs = zip(starts, shapes, strict=True)
            self.tensors = [memory[start : start + prod(shape)].view(shape) for start, shape in pairs]
        weakref.finalize(self, _unused.__setitem__, id(memory), memory)


def _take(size: int) -> Tensor:
    """So many float32 numbers or more: the smallest piece that suffices; else the largest gives way to a larger one."""
    with _lock:
        pieces = list(_unused.values())
        enough = [piece for piece in pieces if piece.numel() >= size]
        if enough:
            return _unused.pop(id(min(enough, key=torch.numel)))
        if pieces:
            del _unused[id(max(pieces, key=torch.numel))]
    return torch.empty(size, dtype=torch.float32, device="cpu")
