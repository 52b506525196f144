"""A user's task: the one that a function in a file of the user's returns."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from typing import Any

from .problem import Mixture, Task
from .sample import check_task


def user_task(name: str, function: Callable[..., Any], depths: Mapping[str, Any], mixture: Mixture) -> Task:
    """Call a user's function with those of the depths that it takes, and check the task that it returns.

    Args:
        name: of the function in the experiment, `./file.py:function`.
        depths: base, train and harder, each the smallest and the largest.
    Raises ValueError: the function has another required parameter, raises, or does not return a `Task`; or
    `check_task` fails. One line.
    """
    takes = inspect.signature(function).parameters
    for argument, parameter in takes.items():
        is_required = parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        )
        if is_required and argument not in depths:
            raise ValueError(f"{name} asks for {argument}; a task is given {', '.join(depths)}, or nothing")
    with redirect_stdout(sys.stderr):  # its prints must not reach our output
        try:
            made = function(**{argument: depth for argument, depth in depths.items() if argument in takes})
        except (Exception, SystemExit) as error:
            message = " ".join(str(error).split())
            raise ValueError(f"{name} raised {type(error).__name__}: {message}") from error
        if not isinstance(made, Task):
            what = f"{name} returned {type(made).__name__}, not a Task of lab.core.grpo.tasks"
            raise ValueError(what)
        try:
            check_task(made, mixture)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        except Exception as error:  # a field of the wrong kind, wherever it is first used
            message = " ".join(str(error).split())
            raise ValueError(
                f"{name}: its Task does not hold together: {type(error).__name__}: {message}"
            ) from error
    return made
