"""A task of one's own: what a function in a file of the user's returns."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from typing import Any

from .problem import Mixture, Task
from .sample import check_task


def user_task(name: str, function: Callable[..., Any], depths: Mapping[str, Any], mixture: Mixture) -> Task:
    """The task that a function makes: called with those of the depths that it takes, and with nothing else.

    Args:
        name: how the experiment calls it, `./file.py:function`.
        depths: base, train and harder, each the least and the largest.

    Raises:
        ValueError: it asks for more, raises, returns no `Task`, or one that does not keep its word. One line.
    """
    takes = inspect.signature(function).parameters
    for knob, parameter in takes.items():
        is_asked_for = parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        )
        if is_asked_for and knob not in depths:
            raise ValueError(f"{name} asks for {knob}; a task is given {', '.join(depths)}, or nothing")
    with redirect_stdout(sys.stderr):  # what it prints is no part of our output
        try:
            made = function(**{knob: depth for knob, depth in depths.items() if knob in takes})
        except (Exception, SystemExit) as error:
            told = " ".join(str(error).split())
            raise ValueError(f"{name} raised {type(error).__name__}: {told}") from error
        if not isinstance(made, Task):
            what = f"{name} returned {type(made).__name__}, not a Task of lab.core.grpo.tasks"
            raise ValueError(what)
        try:
            check_task(made, mixture)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        except Exception as error:  # a field of the wrong kind, wherever it is first used
            told = " ".join(str(error).split())
            raise ValueError(
                f"{name}: its Task does not hold together: {type(error).__name__}: {told}"
            ) from error
    return made
