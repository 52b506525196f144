"""How a user's function is called: with `dim` if it takes one; its NotImplementedError becomes `Refused`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from ..trial import Refused


def refusing(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, which raises `Refused` where it raised NotImplementedError."""

    @wraps(function)
    def refusing(*arguments: Any, **named: Any) -> Any:
        try:
            return function(*arguments, **named)
        except NotImplementedError as error:
            raise Refused(str(error) or "not implemented") from error

    return refusing


def takes_dim(function: Callable[..., Any]) -> bool:
    """Whether `function` has a parameter `dim`; true of one without a signature, such as a compiled one."""
    try:
        # A torch module is called with anything, and its `forward` names what it takes.
        parameters = inspect.signature(getattr(function, "forward", function)).parameters.values()
    except ValueError:
        return True
    return any(each.name == "dim" or each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters)
