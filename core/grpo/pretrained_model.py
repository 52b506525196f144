"""A model of the user's in the place of a base: loaded, asked whether it can do the task at all, and held to the window."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from ..lm.hugging_face import Model, load
from ..lm.language_model import Words
from .base_model import NoBaseModel, outside
from .tasks import Mixture, Task
from .tasks.sample import with_tokenizer


def load_pretrained(
    folder: Path, task: Task, mixture: Mixture, max_completion_length: int | None
) -> tuple[Model, Task]:
    """The model of a folder, and the task in its tokens.

    Raises:
        ValueError: it cannot stand in for a model of ours, or not in this task; one line with the folder.
        FileNotFoundError, ModuleNotFoundError: no such folder, no transformers.
    """
    model, words = load(folder)
    return model, _made_to_fit(folder, words, model.config.context, task, mixture, max_completion_length)


def check_pretrained(folder: Path, task: Task, mixture: Mixture, max_completion_length: int | None) -> None:
    """Find out what `load_pretrained` would raise.

    Raises:
        ValueError: that.
    """
    try:
        words, context = _seen(folder)
    except (OSError, ImportError) as error:
        raise ValueError(str(error)) from error
    _made_to_fit(folder, words, context, task, mixture, max_completion_length)


@lru_cache
def _seen(folder: Path) -> tuple[Words, int]:
    """An experiment is read once for each of its variants; the model itself is not kept."""
    model, words = load(folder)
    return words, model.config.context


def _made_to_fit(
    folder: Path, words: Words, context: int, task: Task, mixture: Mixture, max_completion_length: int | None
) -> Task:
    try:
        told = with_tokenizer(task, mixture, words)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error
    prompt, completion = told.longest_prompt, max_completion_length or told.longest_completion
    if prompt + completion > context:
        room = context - prompt
        advice = f"set max_completion_length to {room} or less" if room > 0 else "choose a shorter task"
        raise ValueError(
            f"{folder}: prompts of about {prompt} tokens and answers of {completion} do not fit into its context of "
            f"{context}; {advice}"
        )
    return told


def check_window(window: tuple[float, float], right: float, folder: Path) -> None:
    """Refuse a model that leaves reward nothing to do.

    Raises:
        NoBaseModel: the share of right samples is outside of the window.
    """
    low, high = window
    if right < low:
        what = "No signal to reinforce: choose an easier task, or a model that is right now and then"
    elif right > high:
        what = "No headroom: choose a harder task"
    else:
        return
    raise NoBaseModel(f"{folder}: {outside([right], window)}. {what}")
