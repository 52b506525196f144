"""The model before training: a base model of ours, from the cache, or a pretrained one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..lm.language_model import LanguageModel
from ..lm.model import Transformer
from ..trial import Context
from .base_model import load_base_model, make_base_model
from .params import Params, base_model_of, first_of, mixture_of, task_key
from .tasks import Task


@dataclass(frozen=True)
class Start:
    """The model before training.

    Attributes:
        task: in the model's tokens.
        rejected: the number of base models trained before it that were outside the window.
    """

    model: LanguageModel
    task: Task
    rejected: int


def start(params: Params, task: Task, context: Context, words: str = "") -> Start:
    """The base model of these parameters and this seed, trained where the cache lacks it, or the pretrained one.

    Args:
        words: what names the task in the cache, where `params` do not say all of it.

    Raises:
        NoBaseModel: no base model is inside the window. That of a pretrained model is not checked here.
        ValueError: a pretrained model that does not fit the task.
    """
    if params.model is not None:
        from .pretrained_model import load_pretrained

        pretrained, task = load_pretrained(
            params.model.hf, task, mixture_of(params), params.max_completion_length
        )
        return Start(pretrained.to(context.device), task, 0)
    first = None
    if (before := first_of(params)) is not None:
        first, _ = _base_model(before, task, context, None, words)
    model, rejected = _base_model(params, task, context, first, words)
    return Start(model.to(context.device), task, rejected)


def _base_model(
    params: Params, task: Task, context: Context, first: Transformer | None, words: str
) -> tuple[Transformer, int]:
    """The base model, and how many were outside the window before it."""
    spec = base_model_of(params, task)
    folder = context.cached(
        spec.key(words or task_key(params, task), context.seed),
        lambda folder: make_base_model(folder, spec, task, context.seed, _reporter(context), first),
    )
    model, facts = load_base_model(folder)
    return model, int(facts["rejected"])


def _reporter(context: Context) -> Callable[[int, int, str | None], None]:
    def on_progress(done: int, of: int, answer: str | None) -> None:
        context.progress(done, of, "base model")
        if answer is not None:
            context.sample(0, f"{answer}  (base model, {done} of {of})")

    return on_progress
