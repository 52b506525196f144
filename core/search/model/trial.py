"""One strategy at one budget with a trained model and a trained rating: `lab run search`; or a training by that rating.

Importing this costs no torch: the command line reads `Params` before anything heavy is loaded.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

from ...grpo.params import task_of
from ...grpo.trial import question
from ...lm.kernels import kernels_of_training
from ...trial import Context, Kernel, Refused, seeded
from ..params import strategy_of
from .params import Params

__all__ = ["Params", "kernels", "trial"]


def kernels(params: Params) -> Sequence[Kernel]:
    """Those of a model of ours; a pretrained one has its own operations."""
    return kernels_of_training() if params.model is None else ()


def trial(params: Params, context: Context) -> Mapping[str, float]:
    """Answer the test problems by a search, or train by its rating (`rl`; see `rl.train`).

    Returns: `right`; `sound`, by right steps; `right/easy`, `right/hard` and `right/hardest`, of the two easiest fifths of the
    problems, the next two and the last, by the base model's samples; where whole answers are drawn `one`, the share of them that is
    right, and `gain`, `right` less that; `generated`, `scored` and `tokens`, for a problem; where
    something is rated also `score`, of the answers given, `overrated`, that less `right`, and `spread`, the standard deviation
    of all ratings; of best-of-n `misprediction` (see `overoptimisation`), `ranks`, the chance that a prefix of right steps is
    rated above one with a wrong step, and `brier`, the mean square by which ratings of whole answers miss the truth.

    Raises:
        ScoreError: the scorer gave not one finite number for each prefix, or a negative one for a weighted vote.
        Refused: `rl` of a pretrained model, or a budget that the search cannot keep to.
        ValueError, NoBaseModel, NotFinite: as in `grpo`'s trial.
    """
    from ...grpo.eval_set import draw_eval_set
    from . import rl
    from .sampler import base
    from .scorers import Trunk, scorer, steps_of
    from .searched import searched
    from .texts import Writer

    strategy_of(params)
    if params.search == "sample" and params.budget > params.draws:
        raise Refused(
            f"budget is {params.budget} and draws are {params.draws}; whole answers are chosen among those drawn"
        )
    context = seeded(context, params.first_seed)
    task = task_of(params, context.load)
    context.sample(0, question(task))
    model, task, key = base(params, task, context)
    longest = params.max_completion_length or task.longest_completion
    words = task.vocabulary
    ends = {id for text in params.step_ends if len(ids := words.encode(text)[-1:]) for id in ids}
    trunk = Trunk(model, task, key, longest, tuple(sorted({*ends, *words.eos_ids})), steps_of(params, task))
    rate = scorer(params, trunk, context)
    problems = draw_eval_set(task, params.eval_problems, 1, longest, context.seed).problems["test"]
    if (params.rl or params.sampler == "policy") and params.model is not None:
        raise Refused(
            "a training by ratings is for models of ours; a text in other tokens may not have the same ones"
        )
    if params.rl:
        return rl.train(copy.deepcopy(model), params, trunk, rate, problems, context)
    if params.sampler == "policy":
        right = scorer(params.model_copy(update={"scores": "accuracy", "implementation": ""}), trunk, context)
        model = rl.policy(copy.deepcopy(model), params, trunk, right, context)
    return searched(params, trunk, rate, Writer(model, task, problems, longest, trunk.ends), context)
