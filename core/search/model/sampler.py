"""What answers: `grpo`'s base model that has learnt to slip, and what reward has made of it."""

from __future__ import annotations

from dataclasses import replace

from ...grpo.base_model import load_base_model, make_base_model
from ...grpo.params import base_model_of, task_key
from ...grpo.start import start
from ...grpo.tasks import Task
from ...lm.language_model import LanguageModel
from ...lm.model import Transformer
from ...lm.training import Recipe
from ...trial import Context
from .params import Params


def base(params: Params, task: Task, context: Context) -> tuple[LanguageModel, Task, str]:
    """The base model, the task in its tokens, and a key for what is made of it.

    `grpo`'s base model is right in nearly all steps of its traces: a search has nothing to do there but to begin one. So it
    goes on for `slip_steps` with demonstrations that all think, and are wrong in `slip_noise` of their steps. A pretrained
    model is taken as it is.

    Raises NoBaseModel: none is inside the window.
    """
    begun, seed, words = start(params, task, context), context.seed, task_key(params, task)
    if params.model is not None:
        return begun.model, begun.task, f"{params.model.hf} {seed}"
    first = base_model_of(params, task)
    if not params.slip_steps:
        return begun.model, task, first.key(words, seed)
    assert isinstance(begun.model, Transformer)
    mixture = replace(first.mixture, long=1.0, noise=params.slip_noise)
    recipe = Recipe(params.slip_steps, params.base_batch, parts=first.recipe.parts)
    spec = replace(
        first,
        mixture=mixture,
        recipe=recipe,
        demonstrations=params.slip_steps * params.base_batch,
        window=(0.0, 1.0),
        first=first,
    )
    on_cpu = begun.model.to("cpu")
    folder = context.cached(
        spec.key(words, seed),
        lambda folder: make_base_model(
            folder, spec, task, seed, lambda done, of, _: context.progress(done, of, "slips"), on_cpu
        ),
    )
    model, _ = load_base_model(folder)
    return model.to(context.device), task, spec.key(words, seed)
