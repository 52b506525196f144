"""A user's function: how it is called, and its NotImplementedError, which is a refusal."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from ..trial import Refused


def refusing(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, whose NotImplementedError is a refusal."""

    @wraps(function)
    def refusing(*arguments: Any, **named: Any) -> Any:
        try:
            return function(*arguments, **named)
        except NotImplementedError as error:
            raise Refused(str(error) or "not implemented") from error

    return refusing


def takes_dim(function: Callable[..., Any]) -> bool:
    """Whether `function` has a parameter `dim`; yes for one that will not say, such as a compiled one."""
    try:
        # A torch module is called with anything, and says what it takes in `forward`.
        parameters = inspect.signature(getattr(function, "forward", function)).parameters.values()
    except ValueError:
        return True
    return any(each.name == "dim" or each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters)
