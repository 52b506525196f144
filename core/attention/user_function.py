"""Adapts a user's attention to the signature of a backend.

The file of the function may say at its top level:

    layout = "bshd"          q, k, v and the output are (batch, length, heads, head_dim), as in the flash-attn package
    square_only = True       it takes as many queries as keys; any other shape is refused for it

The function gets the options that its signature names; one in use that it does not name raises `Refused`. A parameter
`softmax_scale` gets the scale where there is no `scale`. NotImplementedError becomes `Refused`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from ..trial import Refused
from .arguments import Options

LAYOUTS = ("bhsd", "bshd")
Adapted = Callable[[Tensor, Tensor, Tensor, Options], Any]


def adapted(function: Callable[..., Any], layout: str | None = None) -> Adapted:
    """`function` as a backend: (q, k, v, options) in the layout (batch, heads, length, head_dim) to the output.

    Args:
        layout: of `function`; where left out, the attribute or top-level name `layout` of it or its file, else "bhsd".
    Raises ValueError: the layout is not one of `LAYOUTS`, or `square_only` is neither True nor False.
    """
    layout = layout or _declared(function, "layout", "bhsd")
    square_only = _declared(function, "square_only", False)
    if layout not in LAYOUTS:
        raise ValueError(f"layout is {layout!r}; it must be one of {', '.join(LAYOUTS)}")
    if not isinstance(square_only, bool):
        raise ValueError(f"square_only is {square_only!r}; it must be True or False")
    takes = _parameters(function)

    def backend(q: Tensor, k: Tensor, v: Tensor, options: Options) -> Any:
        if square_only and q.shape[2] != k.shape[2]:
            raise Refused("takes as many queries as keys (square_only)")
        named: dict[str, Any] = {}
        for name, value in options.by_name.items():
            if takes(name) and (name == "causal" or value is not None):
                named[name] = value
            elif value is not None and value is not False:
                raise Refused(f"takes no {name}")
        scale = (
            "scale"
            if takes("scale", by_name=True) or not takes("softmax_scale", by_name=True)
            else "softmax_scale"
        )
        if takes(scale):
            named[scale] = options.scale
        elif options.scale != q.shape[-1] ** -0.5:
            raise Refused("takes no scale")
        inputs = (x.transpose(1, 2) if layout == "bshd" else x for x in (q, k, v))
        try:
            output = function(*inputs, **named)
        except NotImplementedError as error:
            raise Refused(str(error) or "not implemented") from error
        output = output[0] if isinstance(output, tuple) and output else output
        if layout == "bshd" and isinstance(output, Tensor) and output.dim() == 4:
            return output.transpose(1, 2)
        return output

    return backend


def _declared(function: Callable[..., Any], name: str, otherwise: Any) -> Any:
    """An attribute of the function, else a name at the top level of its file."""
    beside: Mapping[str, Any] = getattr(inspect.unwrap(function), "__globals__", {})
    return getattr(function, name, beside.get(name, otherwise))


def _parameters(function: Callable[..., Any]) -> Callable[..., bool]:
    """Whether `function` takes an argument of a name; true of a function without a signature, such as a compiled one."""
    try:
        parameters = inspect.signature(getattr(function, "forward", function)).parameters
    except ValueError:
        return lambda name, by_name=False: not by_name
    takes_all = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
    return lambda name, by_name=False: name in parameters or (takes_all and not by_name)
