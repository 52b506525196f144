"""One stage of `lab run r1-stages`, made after those that lead to it, and measured.

Importing this costs no torch: the command line reads `Params` before anything heavy is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..lm.kernels import kernels_of_training
from ..trial import Context, Kernel, seeded
from .params import BASE, Params

__all__ = ["Params", "kernels", "trial"]


def kernels(params: Params) -> Sequence[Kernel]:
    """Those of models of ours."""
    return kernels_of_training()


def trial(params: Params, context: Context) -> Mapping[str, float]:
    """Measure the model of `stage`; base model, preference model and stages that are not there are made first.

    One answer to the same two prompts is shown for each stage on the way.

    Returns: the figures of `evaluation.Yardsticks.measure`. `change/…`: each less that of the stage before, and
    `since_first/…`, less that of the first stage on the way; none for base. `preference/right`: the share of the base's pairs
    that the preference model orders by taste.

    Raises:
        Refused: fewer samples can be taken of a stage than the next one asks for, or the base answers no general prompt.
        NoBaseModel: no base model is inside the window.
        RewardError, NotFinite: training stopped; the last checkpoint is kept.
    """
    from dataclasses import replace

    from ..grpo.params import base_model_of, task_key, task_of
    from ..grpo.start import start
    from ..grpo.tasks.also import with_also
    from ..lm.model import Transformer
    from ..source_digest import source_digest
    from . import taste
    from .evaluation import yardsticks
    from .params import stages_of, way_to
    from .preference import preference_of
    from .stages import Setting, made, made_base

    context = seeded(context, params.first_seed)
    general = taste.taste_task(params.letters, params.in_order)
    reasoning = with_also(task_of(params, context.load), general, params.also_share)
    general = replace(general, vocabulary=reasoning.vocabulary)
    words = (
        f"{task_key(params, reasoning)} {params.letters} {params.in_order} {source_digest(taste.__name__)}"
    )
    begun = start(params, reasoning, context, words)
    assert isinstance(begun.model, Transformer)  # pretrained ones are refused
    base_key = base_model_of(params, reasoning).key(words, context.seed)
    preference, preference_key = preference_of(params, begun.model, base_key, reasoning, general, context)
    measures = yardsticks(
        reasoning, general, preference, params.eval_problems, params.eval_samples, context.seed
    )
    setting = Setting(params, reasoning, general, preference, preference_key, measures, context)
    done = [made_base(begun.model, base_key, setting)]
    stages = stages_of(params)
    places = [BASE, *params.stages]
    for name in way_to(params):
        done.append(made(name, stages[name], done[-1], done[0], setting))
    for each in done:
        for answer in each.measured.answers:
            context.sample(places.index(each.name), f"{each.name}: {answer}")
    last = done[-1]
    if last.name == params.stage:
        for step, figures in enumerate(last.curve, 1):
            context.record(step, **figures)
    found = dict(last.measured.figures)
    if len(done) > 1:
        found |= _less("change", last.measured.figures, done[-2].measured.figures)
        found |= _less("since_first", last.measured.figures, done[1].measured.figures)
    return found | {"preference/right": preference.right}


def _less(name: str, these: Mapping[str, float], those: Mapping[str, float]) -> dict[str, float]:
    return {f"{name}/{key}": value - those[key] for key, value in these.items()}
