"""Softmax in Numba: loops over rows that the compiler turns into vector instructions. Imported on demand.

What is compiled on first use is kept in the cache folder, and a later process loads it in milliseconds.
"""

from __future__ import annotations

from pathlib import Path

from ...compiled import code_kept

with code_kept(Path(__file__).parent):
    from . import columns, logarithms, rows, topk, two_pass

__all__ = ["columns", "logarithms", "rows", "topk", "two_pass"]
