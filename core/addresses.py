"""Checks whether compiled code may take tensors by address, and refuses those whose derivative would be lost."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils._python_dispatch import _get_current_dispatch_mode

from .trial import Refused

_c, _jit, _forward_ad = cast(Any, torch._C), cast(Any, torch.jit), cast(Any, forward_ad)


def have_addresses(*tensors: Tensor | None) -> bool:
    """Whether these are numbers in memory and nothing records what is done to them.

    Not under torch.compile, a trace or a dispatch mode, which see neither what compiled code reads nor what it writes;
    nor under vmap, nor of a subclass such as a fake tensor, where there may be no memory. A registered operator is right
    in all of these.
    """
    if torch.compiler.is_compiling() or _jit.is_tracing() or _get_current_dispatch_mode() is not None:
        return False
    return all(
        type(x) in (Tensor, torch.nn.Parameter) and _c._has_storage(x) for x in tensors if x is not None
    )


def is_plain(x: Tensor) -> bool:
    """Whether x has an address and no derivative is asked for, which is the case of most calls: in half a microsecond."""
    return (
        type(x) is Tensor
        and not (x.requires_grad and torch.is_grad_enabled())
        and not torch.compiler.is_compiling()
        and _forward_ad._current_level < 0
        and not _c._is_tracing()
        and not _c._len_torch_dispatch_stack()
        and bool(_c._has_storage(x))
    )


def refuse_tangents(name: str, instead: str, *tensors: Tensor | None) -> None:
    """Refuse a forward-mode derivative, which compiled code would lose silently.

    Args:
        name: of the code, with which the message begins.
        instead: what has such derivatives.
    Raises Refused: a tensor has a tangent.
    """
    if have_tangents(*tensors):
        raise Refused(f"{name} has no forward-mode derivative; it is in {instead}")


def have_tangents(*tensors: Tensor | None) -> bool:
    """Whether a forward-mode derivative is asked for."""
    if torch.compiler.is_compiling() or getattr(_forward_ad, "_current_level", 0) < 0:  # no `dual_level`
        return False
    return any(x is not None and _forward_ad.unpack_dual(x).tangent is not None for x in tensors)


def are_functional(*tensors: Tensor | None) -> bool:
    """Whether a tensor is inside torch.func.grad or the like, which do not know an operator's derivative."""
    if torch.compiler.is_compiling():
        return False
    return any(x is not None and _c._functorch.is_gradtrackingtensor(x) for x in tensors)
