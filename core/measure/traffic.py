"""Counts what PyTorch's operators read and write.

Each operator of a chain reads its inputs from memory and writes its result there; a fused kernel does so once. The
counts are the same on every machine: the memory traffic if no operator found its inputs in a cache.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Change only a tensor's shape or strides; no values move.
_FORM_ONLY = _names(
    "as_strided_ detach_ requires_grad_ rename_ resize_ resize_as_ set_ squeeze_ swapaxes_ swapdims_ t_ transpose_ "
    "unsqueeze_"
)
# Allocate memory and write nothing.
_UNWRITTEN = _names("empty empty_like empty_permuted empty_strided new_empty new_empty_strided")
# Read the shape of a tensor, not its values.
_UNREAD = _UNWRITTEN | _names(
    "zeros_like ones_like full_like rand_like randn_like randint_like new_zeros new_ones new_full"
)
# Overwrite the values of a tensor without reading them.
_OVERWRITING = _names(
    "copy_ fill_ zero_ uniform_ normal_ random_ exponential_ geometric_ cauchy_ log_normal_ bernoulli_"
)
# Read only the returned part of their first tensor.
_PICKING = _names("embedding gather index index_select take")


@dataclass(frozen=True)
class Traffic:
    """What the operators of one call read and wrote.

    Attributes:
        elements_read, elements_written: numbers, whatever their size.
        bytes_read, bytes_written: the same in bytes.
        operators: how often each operator touched memory, by name ("amax", "sub_", …). Views are not among them.
        written_by: the elements that each operator wrote, by name.
    """

    elements_read: int
    elements_written: int
    bytes_read: int
    bytes_written: int
    operators: Mapping[str, int]
    written_by: Mapping[str, int]


def operator_traffic(call: Callable[[], object]) -> Traffic:
    """Run `call` once and count what its PyTorch operators read and write.

    An operator reads its tensor arguments and writes its results, each once. A broadcast or expanded tensor counts its
    elements in memory, a repeated argument (`x * x`) counts once. An in-place operator reads and writes; `copy_`, fills
    and `out=` only write their target. Views, queries of shape and Python numbers count nothing. `gather`, `embedding`
    and the like read as much as they return; writing into part of a tensor by index counts the whole tensor, which is
    too much.

    Traffic inside an operator is not counted (scratch space, a matrix read twice because it does not fit a cache), nor
    that of other code (a Numba or Triton kernel).
    """
    with _Counter() as counted:
        call()
    return Traffic(
        elements_read=counted.elements["read"],
        elements_written=counted.elements["written"],
        bytes_read=counted.bytes["read"],
        bytes_written=counted.bytes["written"],
        operators=dict(counted.operators),
        written_by=dict(counted.written_by),
    )


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Receives every operator below autograd, with composite operators decomposed."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # The wrapper that disables the compiler would import it, which takes 2 s in each process.
        return False

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.elements: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self.operators: Counter[str] = Counter()
        self.written_by: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        # In inference mode composite operators arrive undecomposed.
        with self:
            result = func.decompose(*args, **kwargs)
        if result is NotImplemented:
            result = func(*args, **kwargs)
            self._count(func, args, kwargs, result)
        return result

    def _count(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        name = func.overloadpacket.__name__
        pieces = list(_pieces(name, list(_operands(func, args, kwargs)), result))
        for direction, elements, itemsize in pieces:
            self.elements[direction] += elements
            self.bytes[direction] += elements * itemsize
            if direction == "written":
                self.written_by[name] += elements
        if pieces:
            self.operators[name] += 1


@dataclass(frozen=True)
class _Operand:
    """A tensor argument of an operator, and what the operator's schema says of it."""

    tensor: Tensor
    is_written: bool
    is_out: bool


def _operands(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[_Operand]:
    declared = func._schema.arguments
    by_name = {argument.name: argument for argument in declared}
    for argument, value in [
        *zip(declared, args, strict=False),
        *((by_name[name], kwargs[name]) for name in kwargs),
    ]:
        for leaf in tree_leaves(value):
            if isinstance(leaf, Tensor):
                yield _Operand(
                    leaf, bool(argument.alias_info and argument.alias_info.is_write), argument.is_out
                )


def _pieces(name: str, operands: list[_Operand], result: Any) -> Iterator[tuple[str, int, int]]:
    """("read" or "written", elements, bytes of one) for each tensor that the operator `name` touches."""
    returned = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
    known = {_storage(each.tensor) for each in operands}
    fresh = [tensor for tensor in returned if _storage(tensor) not in known]
    written = [each.tensor for each in operands if each.is_written]
    is_view = bool(returned) and not fresh and not written
    if is_view or name in _FORM_ONLY:
        return

    if name not in _UNREAD:
        read = [
            each.tensor
            for each in operands
            if not each.is_out and not (each.is_written and name in _OVERWRITING)
        ]
        for position, tensor in enumerate(_distinct(read)):
            elements = _elements(tensor)
            if name in _PICKING and position == 0:
                elements = min(elements, sum(map(_elements, fresh + written)))
            yield "read", elements, tensor.itemsize
    if name not in _UNWRITTEN:
        for tensor in _distinct(fresh + written):
            yield "written", _elements(tensor), tensor.itemsize


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _distinct(tensors: Iterable[Tensor]) -> Iterable[Tensor]:
    """The tensors, each piece of memory once, in order."""
    by_memory = {(t.data_ptr(), t.dtype, t.shape, t.stride()): t for t in reversed(list(tensors))}
    return reversed(list(by_memory.values()))


def _elements(tensor: Tensor) -> int:
    """The number of elements in memory: an expanded dimension repeats one, and windows overlap."""
    if tensor.numel() == 0:
        return 0
    distinct_elements = math.prod(
        size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride
    )
    return min(distinct_elements, tensor.untyped_storage().nbytes() // tensor.itemsize)
