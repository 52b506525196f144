"""A pretrained model of the user's in place of a base model: load it, check that it fits the task, check the window."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from ..lm.hugging_face import Model, load
from ..lm.language_model import Words
from .base_model import NoBaseModel, outside_window
from .tasks import Mixture, Task
from .tasks.sample import with_tokenizer


def load_pretrained(
    folder: Path, task: Task, mixture: Mixture, max_completion_length: int | None
) -> tuple[Model, Task]:
    """The model in a folder, and the task in its tokens.

    Raises:
        ValueError: the model cannot be used, or not for this task; one line with the folder.
        FileNotFoundError, ModuleNotFoundError: no such folder, no transformers.
    """
    model, words = load(folder)
    return model, _fit_task(folder, words, model.config.context, task, mixture, max_completion_length)


def check_pretrained(folder: Path, task: Task, mixture: Mixture, max_completion_length: int | None) -> None:
    """Raise now what `load_pretrained` would raise, as one kind of error.

    Raises ValueError: the model cannot be loaded, or does not fit the task.
    """
    try:
        words, context = _tokenizer_and_context(folder)
    except (OSError, ImportError) as error:
        raise ValueError(str(error)) from error
    _fit_task(folder, words, context, task, mixture, max_completion_length)


@lru_cache
def _tokenizer_and_context(folder: Path) -> tuple[Words, int]:
    """Cached, because an experiment is read once for each of its variants; the model itself is not kept."""
    model, words = load(folder)
    return words, model.config.context


def _fit_task(
    folder: Path, words: Words, context: int, task: Task, mixture: Mixture, max_completion_length: int | None
) -> Task:
    try:
        fitted = with_tokenizer(task, mixture, words)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error
    prompt, completion = fitted.longest_prompt, max_completion_length or fitted.longest_completion
    if prompt + completion > context:
        room = context - prompt
        advice = f"set max_completion_length to {room} or less" if room > 0 else "choose a shorter task"
        raise ValueError(
            f"{folder}: prompts of about {prompt} tokens and answers of {completion} do not fit into its context of "
            f"{context}; {advice}"
        )
    return fitted


def check_window(window: tuple[float, float], accuracy: float, folder: Path) -> None:
    """Check the accuracy of a pretrained model, the share of right samples.

    Raises NoBaseModel: it is outside the window.
    """
    low, high = window
    if accuracy < low:
        what = "No signal to reinforce: choose an easier task, or a model that is right now and then"
    elif accuracy > high:
        what = "No headroom: choose a harder task"
    else:
        return
    raise NoBaseModel(f"{folder}: {outside_window([accuracy], window)}. {what}")
