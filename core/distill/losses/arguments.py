"""Checks of a loss's arguments; an error names both sides."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor


def check_logits(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> None:
    """Raise ValueError unless both are (batch, tokens, vocabulary), or (examples, classes), of one shape."""
    check_student(student_logits)
    check_temperature(temperature)
    check_vocabulary(student_logits, teacher_logits.shape[-1] if teacher_logits.dim() else 0)
    if teacher_logits.shape != student_logits.shape:
        raise ValueError(
            f"teacher_logits have shape {_shape(teacher_logits)}, but student_logits {_shape(student_logits)}"
        )


def check_student(student_logits: Tensor) -> None:
    """Raise ValueError unless they are floating-point logits (batch, tokens, vocabulary) or (examples, classes)."""
    if student_logits.dim() not in (2, 3) or not student_logits.is_floating_point():
        raise ValueError(
            f"student_logits are {student_logits.dtype} of shape {_shape(student_logits)}; floating-point "
            "(batch, tokens, vocabulary) is needed"
        )


def check_vocabulary(student_logits: Tensor, of_teacher: int) -> None:
    """Raise ValueError if the teacher's vocabulary has another size."""
    if student_logits.shape[-1] != of_teacher:
        raise ValueError(
            f"the student has a vocabulary of {student_logits.shape[-1]}, the teacher one of {of_teacher}: "
            "between two tokenizers use the losses of lab.core.distill.losses.cross_tokenizer"
        )


def check_temperature(temperature: float) -> None:
    """Raise ValueError unless it is a finite number above 0."""
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature is {temperature:g}; it must be above 0 and finite")


def check_share(name: str, share: float) -> None:
    """Raise ValueError unless it lies in [0, 1]."""
    if not 0 <= share <= 1:
        raise ValueError(f"{name} is {share:g}; it must be between 0 and 1")


def check_labels(labels: Tensor, student_logits: Tensor, mask: Tensor | None) -> None:
    """Raise ValueError unless there is a token of the vocabulary at every unmasked position."""
    *shape, vocabulary = student_logits.shape
    if list(labels.shape) != shape or labels.is_floating_point():
        raise ValueError(
            f"labels are {labels.dtype} of shape {_shape(labels)}; token ids {tuple(shape)} are needed"
        )
    outside = (labels < 0) | (labels >= vocabulary)
    mask = bool_mask(mask, labels.shape)
    wrong = first(outside if mask is None else outside & mask)
    if wrong is not None:
        raise ValueError(
            f"the label at {position_words(wrong)} is {int(labels[tuple(wrong)])}, but the vocabulary is 0 to "
            f"{vocabulary - 1}; what is not to be learned goes under the mask"
        )


def bool_mask(mask: Tensor | None, shape: Sequence[int]) -> Tensor | None:
    """The mask as booleans, true where a token counts; None if all do.

    Raises ValueError: the mask has another shape.
    """
    if mask is not None and list(mask.shape) != list(shape):
        raise ValueError(f"mask has shape {_shape(mask)}, but the tokens {tuple(shape)}")
    return None if mask is None else mask != 0


def divisor(mask: Tensor | None, shape: Sequence[int], num_items: float | None) -> float:
    """The divisor of a sum over tokens: num_items if given, else the number of unmasked tokens; at least 1.

    Raises ValueError: num_items is negative.
    """
    if num_items is not None and not num_items >= 0:
        raise ValueError(f"num_items is {num_items:g}; it must be 0 or more")
    if num_items is None:
        num_items = math.prod(shape) if mask is None else int(mask.sum())
    return max(num_items, 1)


def first(where: Tensor) -> list[int] | None:
    """The indices of the first true element, if there is one."""
    at = where.nonzero()
    return [int(i) for i in at[0]] if len(at) else None


def position_words(at: Sequence[int]) -> str:
    """The indices (sequence, token) or (example,) in words."""
    return f"sequence {at[0]}, token {at[1]}" if len(at) == 2 else f"example {at[0]}"


def _shape(x: Tensor) -> tuple[int, ...]:
    return tuple(x.shape)
