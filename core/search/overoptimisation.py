"""How far a rating can be trusted: Gao et al., "Scaling laws for reward model overoptimization", arXiv:2210.10760, §3.

The best of n answers by a rating is a distance d = √KL from the sampler, with KL = log n − (n − 1)/n, and what it is truly
worth is d(α − βd) more than a single answer.
"""

from __future__ import annotations

import math

import numpy as np

FITTED = 0.77
"""Of the largest d: the paper fits up to n = 1,000 and looks at 60,000."""


def distance(n: int) -> float:
    """d of the best of n."""
    return math.sqrt(max(math.log(n) - (n - 1) / n, 0.0))


def best_of_k(score: np.ndarray, value: np.ndarray, k: int) -> float:
    """The mean value of the best of k of n answers, over all subsets of k and all problems.

    Args:
        score, value: (problems, n): what each answer is rated, and what it is worth. Equal ratings are taken in order.
    """
    n = score.shape[1]
    ranked = np.take_along_axis(value, np.argsort(score, 1, kind="stable"), 1)
    # The i-th from below, i from 1, is the best of a subset with the chance (i−1 over k−1) / (n over k).
    weight = np.zeros(n)
    for i in range(k, n + 1):
        weight[i - 1] = math.exp(
            math.lgamma(i) - math.lgamma(k) - math.lgamma(i - k + 1)
            - (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1))
        )  # fmt: skip
    return float((ranked * weight).sum(1).mean())


def misprediction(score: np.ndarray, value: np.ndarray) -> float:
    """How far α and β that are fitted where d is small are off where it is large: the mean distance there.

    Least squares over the best of k, k about evenly spaced in log k, up to `FITTED` of the largest d; compared beyond it.

    Raises ValueError: fewer than 16 answers to a problem.
    """
    n = score.shape[1]
    if n < 16:
        raise ValueError(f"two parameters are fitted to the best of k of {n} answers; 16 or more are needed")
    ks = np.unique(np.geomspace(2, n, 24).round().astype(int)).tolist()
    d = np.array([distance(k) for k in ks])
    one = best_of_k(score, value, 1)
    gain = np.array([best_of_k(score, value, k) - one for k in ks])
    near = d <= FITTED * d[-1]
    form = np.stack([d, -(d**2)], 1)
    fitted, *_ = np.linalg.lstsq(form[near], gain[near], rcond=None)
    return float(np.abs(form[~near] @ fitted - gain[~near]).mean())
