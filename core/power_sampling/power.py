"""The power distribution: p(x)^α / Σ p(y)^α over whole completions.

It is not low temperature, which raises each next-token distribution to α by itself (Karan & Du, arXiv:2510.14901,
Proposition 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .tree import Tree


@dataclass(frozen=True)
class Weights:
    """p^α over the leaves of a tree.

    Attributes:
        of_leaves: (leaves,); those of a prompt sum to 1.
        uncovered: (prompts,), a bound on the share of p^α that the tree leaves out. A share of answers that is computed
            from the leaves is off by no more.
    """

    of_leaves: np.ndarray
    uncovered: np.ndarray


def power_weights(tree: Tree, alpha: float, threshold: float) -> Weights:
    """p^α over the leaves of a tree.

    Dropped completions have p < threshold and Σ p = D, so that Σ p^α ≤ threshold^(α−1) D.

    Args:
        alpha: at least 1.
        threshold: the tree's.
    Raises ValueError: alpha is below 1, where nothing bounds what the tree leaves out; a prompt without leaves.
    """
    if not alpha >= 1:
        raise ValueError(f"alpha is {alpha:g}; below 1 nothing bounds what a tree leaves out")
    if missing := set(range(len(tree.dropped))) - set(tree.prompts.tolist()):
        raise ValueError(f"no completion of prompt {min(missing)} is as likely as {threshold:g}")
    count = len(tree.dropped)
    raised = alpha * tree.log_probs
    largest = np.full(count, -np.inf)
    np.maximum.at(largest, tree.prompts, raised)
    weights = np.exp(raised - largest[tree.prompts])
    total = np.bincount(tree.prompts, weights, minlength=count)
    rest = np.exp((alpha - 1) * np.log(threshold) - largest) * tree.dropped
    return Weights(weights / total[tree.prompts], rest / (total + rest))


def chosen_draws(log_probs: np.ndarray, alpha: float, random: np.random.Generator) -> np.ndarray:
    """One of n draws from p, taken with a weight of p^(α−1): a draw from p^α as n grows (importance resampling).

    Args:
        log_probs: (groups, n), of whole completions.
    Returns: (groups,), the place of the draw that is taken.
    """
    weights = (alpha - 1) * log_probs
    found: np.ndarray = (weights + random.gumbel(size=weights.shape)).argmax(1)
    return found
