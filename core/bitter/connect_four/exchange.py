"""How much search replaces how much learning, from regret over both."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np


def exchange(games: Sequence[int], nodes: Sequence[int], regret: np.ndarray) -> float:
    """Powers of ten of nodes that ten times the games replace at equal regret; Jones (arXiv:2104.03113, §IV-C) has 1.2 for Hex.

    Of each two neighbouring numbers of games, the levels of regret that both come to are looked at, 21 of them; between
    budgets log nodes is taken as linear in regret, which more nodes are taken not to raise.

    Args:
        regret: (games, nodes).

    Raises ValueError: no two numbers of games come to the same regret.
    """
    falling = np.minimum.accumulate(regret, axis=1)
    budgets = np.log10(np.asarray(nodes, float))
    found = []
    for i, j in pairwise(range(len(games))):
        low, high = max(falling[i, -1], falling[j, -1]), min(falling[i, 0], falling[j, 0])
        if low < high:
            levels = np.linspace(low, high, 21)
            more, less = (np.interp(-levels, -falling[k], budgets) for k in (i, j))
            found.append((more - less).mean() / np.log10(games[j] / games[i]))
    if not found:
        raise ValueError("no two numbers of games come to the same regret")
    return float(np.mean(found))
