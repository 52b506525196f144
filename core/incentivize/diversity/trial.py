"""One number of training permutations: `lab run incentivize`.

Importing this costs no torch: the command line reads `Params` before anything heavy is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...lm.kernels import kernels_of_training
from ...trial import Context, Kernel, seeded
from .params import Params

__all__ = ["Params", "kernels", "trial"]
APART = 19_000_013
"""In the seed, so that held-out permutations are no draw of another subject's."""


def kernels(params: Params) -> Sequence[Kernel]:
    """Those of a transformer's training."""
    return kernels_of_training()


def trial(params: Params, context: Context) -> Mapping[str, float]:
    """Train on T permutations and try the held-out ones.

    Returns: `training.Evaluation.measure` at the end; where new permutations come to be solved, `rise/right`, `rise/whole`
    and `rise/bits`: over how large a factor of steps each metric of them does nine tenths less one of its change, and
    `smoother`, the last over the second.

    Raises NotFinite: training stopped.
    """
    import numpy as np

    from .permutations import split
    from .training import evaluation, model_of, rise, train

    context = seeded(context, params.first_seed)
    # A stream each, so that with more steps, or other evaluations, permutations stay the same.
    of_split, of_tests, of_batches = (np.random.default_rng([context.seed, APART, i]) for i in range(3))
    permutations = split(params.tasks, params.held_out, params.symbols, of_split)
    tests = evaluation(permutations, params, of_tests)
    model = model_of(params, context.seed, context.device)
    steps, points = [0], [tests.measure(model)]

    def after_step(step: int) -> None:
        if step % params.eval_every == 0 or step == params.steps:
            steps.append(step)
            points.append(tests.measure(model))
            context.record(step, **points[-1])
            context.progress(step, params.steps)

    context.record(0, **points[0])
    train(model, permutations, params, of_batches, after_step)
    found = dict(points[-1])
    if found["new/whole"] - points[0]["new/whole"] > SOLVED:
        for name in ("right", "whole", "bits"):
            found[f"rise/{name}"] = rise(steps, [point[f"new/{name}"] for point in points])
        found["smoother"] = found["rise/bits"] / found["rise/whole"]
    return found


SOLVED = 0.5
"""Where fewer sequences come to be solved, there is no rise to speak of."""
