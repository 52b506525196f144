"""Problems with verifiers, by name: `task("chain", structure="z2")`.

* `chain`: a running value over Z2, Z10 or S5; long ones can only be solved step by step.
* `reverse`, `sort`: controls, where thinking cannot help.
* `countdown`: a target from three or four numbers.
* `gym/NAME`: a task of the package reasoning-gym.

One's own is a function that returns a `Task`, and an experiment says `task: ./my_task.py:function`. What helps to write
one stands here too: `vocabulary`, `draw`, `says`, `final_answer`; docs/my_task.py is an example.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any

from ...lm.vocabulary import vocabulary
from ...own_files import check_that_a_function_is_named
from .problem import SPLITS, Mixture, Problem, Split, Task, final_answer, predicted_accuracy, says
from .split import draw

__all__ = [
    "SPLITS",
    "TASKS",
    "Mixture",
    "Problem",
    "Split",
    "Task",
    "draw",
    "final_answer",
    "predicted_accuracy",
    "says",
    "task",
    "vocabulary",
]

TASKS: dict[str, str] = {
    "chain": "a running value over Z2, Z10 or S5",
    "reverse": "a string of digits backwards; thinking cannot help",
    "sort": "the digits of a string in order; thinking cannot help",
    "countdown": "an expression that makes a target",
}
"""The tasks by name, in a few words each."""


def task(name: str, **knobs: Any) -> Task:
    """A task by name.

    Args:
        name: one of `TASKS`, or `gym/NAME` for a task of reasoning-gym.
        knobs: those of the task.

    Raises:
        ValueError: no such task or knob, with the nearest name, or a knob's value means nothing.
        ModuleNotFoundError: a gym task, and reasoning-gym is not installed.
    """
    if name.startswith("gym/"):
        from .gym import gym

        return gym(name.removeprefix("gym/"), **knobs)
    if name not in TASKS:
        check_that_a_function_is_named(name)
        raise ValueError(
            f"no task {name}.{_nearest(name, TASKS)} There are: {', '.join(TASKS)}, gym/NAME, ./file.py:function"
        )
    make = _maker(name)
    known = inspect.signature(make).parameters
    for knob in knobs:
        if knob not in known:
            raise ValueError(
                f"task {name} has no {knob}.{_nearest(knob, known)} There are: {', '.join(known)}"
            )
    return make(**knobs)


def _maker(name: str) -> Callable[..., Task]:
    match name:
        case "chain":
            from .chain import chain

            return chain
        case "reverse":
            from .reverse import reverse

            return reverse
        case "sort":
            from .sort import sort

            return sort
        case _:
            from .countdown import countdown

            return countdown


def _nearest(word: str, known: Iterable[str]) -> str:
    close = get_close_matches(word, list(known), n=1)
    return f" Did you mean {close[0]}?" if close else ""
