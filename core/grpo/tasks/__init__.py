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
from collections.abc import Callable
from importlib import import_module
from typing import Any

from ...lm.vocabulary import vocabulary
from ...own_files import check_that_a_function_is_named
from ...suggest import did_you_mean
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
"""What there is, by name, in a few words each; module and function have the name of the task."""


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
            f"no task {name}.{did_you_mean(name, TASKS)} There are: {', '.join(TASKS)}, gym/NAME, ./file.py:function"
        )
    make: Callable[..., Task] = getattr(import_module(f".{name}", __name__), name)
    known = inspect.signature(make).parameters
    for knob in knobs:
        if knob not in known:
            raise ValueError(
                f"task {name} has no {knob}.{did_you_mean(knob, known)} There are: {', '.join(known)}"
            )
    return make(**knobs)
