"""Problems with verifiers, by name: `task("chain", structure="z2")`.

In reading order:

* `problem`: `Problem`, `Task`, `Mixture` (the shares of demonstrations with and without a trace), `says`, `final_answer`.
* `split`: which prompts are trained on and which tested; `draw` keeps to it.
* `demonstration`: demonstrations in the shares of a mixture; `alphabets`: traces in two alphabets.
* `chain`: a running value over Z2, Z10 or S5; long ones can only be solved step by step.
* `reverse`, `sort`: controls, where thinking cannot help; `copying` is what both share.
* `also`: a task with demonstrations of a second one among its own.
* `countdown`: a target from three or four numbers.
* `gym`: `gym/NAME`, a task of the package reasoning-gym.
* `user_task`: the task that a user's function makes; `sample`: the check that any task does what `Task` promises, and a
  task in the tokens of a pretrained model.

A user's task is a function that returns a `Task`; an experiment names it as `task: ./my_task.py:function`. An example is
docs/my_task.py; `vocabulary`, `draw`, `says` and `final_answer` are there for it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ...lm.vocabulary import vocabulary
from ...own_files import check_that_a_function_is_named
from ...suggest import did_you_mean
from . import chain, countdown, reverse, sort
from .problem import SPLITS, Mixture, Problem, Split, Task, final_answer, says
from .split import draw

__all__ = [
    "SPLITS", "TASKS", "Mixture", "Problem", "Split", "Task", "draw", "final_answer",
    "says", "task", "vocabulary",
]  # fmt: skip

TASKS: dict[str, Callable[..., Task]] = {
    "chain": chain.chain,
    "reverse": reverse.reverse,
    "sort": sort.sort,
    "countdown": countdown.countdown,
}
"""The functions that make the tasks, by name. Each can be called without arguments."""


def task(name: str, **options: Any) -> Task:
    """A task by name.

    Args:
        name: one of `TASKS`, or `gym/NAME` for a task of reasoning-gym.
        options: the parameters of its function.
    Raises:
        ValueError: an unknown task or option, with the nearest name, or a value that the task refuses.
        ModuleNotFoundError: a gym task without reasoning-gym installed.
    """
    if name.startswith("gym/"):
        from .gym import gym

        return gym(name.removeprefix("gym/"), **options)
    if name not in TASKS:
        check_that_a_function_is_named(name)
        raise ValueError(
            f"no task {name}.{did_you_mean(name, TASKS)} There are: {', '.join(TASKS)}, gym/NAME, ./file.py:function"
        )
    make = TASKS[name]
    known = inspect.signature(make).parameters
    for option in options:
        if option not in known:
            raise ValueError(
                f"task {name} has no {option}.{did_you_mean(option, known)} There are: {', '.join(known)}"
            )
    return make(**options)
