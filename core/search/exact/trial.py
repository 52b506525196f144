"""One strategy at one budget, where everything is known: `lab run search-exact`.

Importing this costs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...trial import Context
from ..overoptimisation import misprediction
from ..params import strategy_of
from ..prefixes import last
from ..strategy import Found, Sampler, run
from .ideal import Chains, Ideal
from .params import Params

__all__ = ["Params", "trial"]

APART = 3_000_029
"""In the seed, so that what a strategy was tried out on is not what it is judged on."""


def trial(params: Params, context: Context) -> Mapping[str, float]:
    """Search `eval_problems` problems.

    Returns: `right`, the share of problems that are answered right; `sound`, by right steps only; `trapped`, the share whose
    answer holds a trap; `score`, the mean score of the answers given; `generated`, `scored` and `tokens`, their sum, for a
    problem. Of best-of-n, `misprediction`: see `overoptimisation`.

    Raises Refused: a budget that the search cannot keep to.
    """
    ideal = Ideal(
        params.classes,
        params.slip,
        params.noise,
        params.trap,
        params.rates,
        np.random.default_rng([context.seed, APART]),
    )
    start = ideal.start(params.eval_problems, params.steps)
    sampler = Sampler(
        ideal.propose,
        ideal.greedy,
        start,
        lambda chains: chains.off.tolist(),
        lambda chains: chains.off == 0,
        float(params.steps),
    )
    strategy = strategy_of(params)
    found = run(strategy, sampler, ideal.score)
    given = found.candidates.rows(found.chosen)
    context.sample(0, _said(found))
    counted = found.counted
    metrics = {
        "right": float((given.prefixes.off == 0).mean()),
        "sound": float(given.prefixes.sound.mean()),
        "trapped": float(given.prefixes.trapped.mean()),
        "generated": float(counted.generated.mean()),
        "scored": float(counted.scored.mean()),
        "tokens": float((counted.generated + counted.scored).mean()),
    }
    if strategy.needs_scores:
        metrics["score"] = float(last(given.scores).mean())
    if strategy.search == "sample" and strategy.choose == "best" and strategy.budget >= 16:
        metrics["misprediction"] = _misprediction(found, params.eval_problems)
    return metrics


def _misprediction(found: Found[Chains], problems: int) -> float:
    """Of the share of right answers; the rows of a problem are put beside each other first."""
    chains = found.candidates.prefixes
    order = np.argsort(chains.problem, kind="stable")
    score, value = last(found.candidates.scores)[order], (chains.off[order] == 0).astype(float)
    return misprediction(score.reshape(problems, -1), value.reshape(problems, -1))


def _said(found: Found[Chains]) -> str:
    """What the first problem's answers are, and which of them is given."""
    chains, row = found.candidates.prefixes, int(found.chosen[0])
    first = chains.rows((chains.problem == 0).nonzero()[0])
    kind = "a trap" if chains.trapped[row] else "right steps" if chains.sound[row] else "a wrong step"
    verdict = "right" if chains.off[row] == 0 else "wrong"
    return (
        f"{len(first)} answers, {int(first.sound.sum())} by right steps, {int(first.trapped.sum())} with a trap; "
        f"given: {kind}, {verdict}"
    )
