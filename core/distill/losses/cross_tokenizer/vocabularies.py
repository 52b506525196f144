"""The tokens that two vocabularies share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Shared:
    """Tokens that are the same on both sides, one pair each: (pairs,) the ids that student and teacher give them."""

    student: Tensor
    teacher: Tensor


def shared(
    student_pieces: Sequence[bytes], teacher_pieces: Sequence[bytes], also: Iterable[tuple[int, int]] = ()
) -> Shared:
    """The tokens that write the same bytes, in the order of the student's ids.

    Arguments are those of `mapping.exact_string`.

    Raises ValueError: there are none.
    """
    student, teacher = by_bytes(student_pieces), by_bytes(teacher_pieces)
    pairs = [(i, teacher[piece]) for piece, i in student.items() if piece in teacher]
    pairs = sorted({*pairs, *also})
    if not pairs:
        raise ValueError(
            f"no token of the student's {len(student)} is one of the teacher's {len(teacher)}; are spaces and bytes "
            "written alike on both sides (see `pieces`)?"
        )
    ids = torch.tensor(pairs, device="cpu")
    return Shared(ids[:, 0], ids[:, 1])


def by_bytes(pieces: Sequence[bytes]) -> dict[bytes, int]:
    """Ids by what they write, special tokens left out.

    Of several ids the last one counts: in SentencePiece's vocabularies byte tokens stand before the ordinary token of
    the same byte, and are not used where there is one.
    """
    return {piece: i for i, piece in enumerate(pieces) if piece}


def require_same(student_pieces: Sequence[bytes], teacher_pieces: Sequence[bytes]) -> None:
    """Raise ValueError for vocabularies that differ, also ones of equal size; for losses that compare entry by entry.

    Raises ValueError: another size, or entries that differ; how many, and the first of them.
    """
    sizes = len(student_pieces), len(teacher_pieces)
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"the student has {sizes[0]} tokens and the teacher {sizes[1]}: this needs one vocabulary; "
            "uld, gold, alm and the marginals do not"
        )
    differing = [i for i, (a, b) in enumerate(zip(student_pieces, teacher_pieces, strict=True)) if a != b]
    if differing:
        i = differing[0]
        raise ValueError(
            f"both vocabularies have {sizes[0]} tokens, but {len(differing)} of them differ, first {i}: "
            f"{student_pieces[i]!r} for the student, {teacher_pieces[i]!r} for the teacher"
        )
