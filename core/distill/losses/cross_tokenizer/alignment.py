"""The spans that two tokenisations of one text have in common.

A span is a piece of the text at whose end a token ends in both tokenisations. Minimal spans end at every such byte,
longer ones only at given boundaries, such as those of words. Inside a span single tokens do not correspond.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import torch
from torch import Tensor

from .offsets import Tokens, first_difference


@dataclass(frozen=True)
class Span:
    """A piece of the text at whose end both sides have a token's end.

    Attributes:
        student, teacher: the indices of its tokens, special tokens before and behind them left out,
            between them included.
        end: the byte at which it ends.
    """

    student: range
    teacher: range
    end: int


def align(student: Tokens, teacher: Tokens, boundaries: Iterable[int] | None = None) -> list[Span]:
    """The spans of a text, in order, by two pointers to the bytes at which tokens end: O(tokens).

    Args:
        student, teacher: the same text, cut by both tokenizers.
        boundaries: spans end at these bytes and nowhere else; at every common end where none are given. A boundary
            inside a token of either side is ignored. Tokens after the last boundary belong to no span.
    Raises ValueError: the texts are not the same; the first byte that differs is named, with both pieces. Or
    a boundary outside of the text.
    """
    _check_text(student, teacher)
    allowed = None if boundaries is None else frozenset(boundaries)
    outside = next((at for at in sorted(allowed or ()) if not 0 <= at <= len(student.text)), None)
    if outside is not None:
        raise ValueError(
            f"the boundary {outside} lies outside of the text, which has {len(student.text)} bytes"
        )
    a, b = _writing(student), _writing(teacher)
    spans: list[Span] = []
    i = j = first_i = first_j = 0
    while i < len(a) and j < len(b):
        (at_i, end), (at_j, other) = a[i], b[j]
        if end == other and (allowed is None or end in allowed):
            spans.append(Span(range(a[first_i][0], at_i + 1), range(b[first_j][0], at_j + 1), end))
            first_i, first_j = i + 1, j + 1
        i, j = i + (end <= other), j + (other <= end)
    return spans


def word_ends(text: bytes, mark: bytes = b" ", *, leading: bool = True) -> list[int]:
    """The bytes at which words end, for `align`.

    Args:
        text: of both sides.
        mark: the bytes between words.
        leading: the mark begins a word, as Ġ and ▁ do, and a word ends before it and at the text's end; otherwise the
            mark ends a word, and what follows the last mark is no word. Only in the second case does a word's
            likelihood say that the word is over, so that it is the same for every exact model of the text; in the
            first case `alm` can make up for it.
    """
    found = [at for at in range(len(text)) if text.startswith(mark, at)]
    if leading:
        return [at for at in [*found, len(text)] if at > 0]
    return [at + len(mark) for at in found]


@dataclass(frozen=True)
class AlignedTokens:
    """The tokens of a batch under one tokenizer, each with its span.

    Attributes:
        ids: (batch, tokens), 0 where there is no token.
        mask: (batch, tokens), true where there is one.
        span: (batch, tokens), the number of the span that a token belongs to; the number of spans where to none.
        start, stop: (batch, spans), the first token of a span and the one behind its last; 0 where there is no span.
    """

    ids: Tensor
    mask: Tensor
    span: Tensor
    start: Tensor
    stop: Tensor


@dataclass(frozen=True)
class Alignment:
    """The spans of a batch, as tensors.

    Attributes:
        student, teacher: the tokens of both sides.
        end: (batch, spans), the byte at which a span ends; `end > prompt_bytes` leaves out a prompt.
        mask: (batch, spans), true where there is a span.
    """

    student: AlignedTokens
    teacher: AlignedTokens
    end: Tensor
    mask: Tensor

    def to(self, device: torch.device | str) -> Alignment:
        """The same on another device."""
        student, teacher = (
            AlignedTokens(*(getattr(side, field.name).to(device) for field in fields(side)))
            for side in (self.student, self.teacher)
        )
        return Alignment(student, teacher, self.end.to(device), self.mask.to(device))


def align_batch(
    pairs: Sequence[tuple[Tokens, Tokens]], boundaries: Sequence[Iterable[int]] | None = None
) -> Alignment:
    """`align` for each text of a batch.

    Args:
        pairs: the student's tokens and the teacher's, for each text.
        boundaries: for each text, if spans are to end at them only.
    Raises ValueError: a text that does not align; the message begins with its index in the batch.
    """
    if boundaries is not None and len(boundaries) != len(pairs):
        raise ValueError(f"{len(pairs)} texts need as many boundaries, not {len(boundaries)}")
    rows = []
    for row, (student, teacher) in enumerate(pairs):
        try:
            rows.append(align(student, teacher, None if boundaries is None else boundaries[row]))
        except ValueError as e:
            raise ValueError(f"text {row}: {e}") from None
    return Alignment(
        _aligned_tokens([student for student, _ in pairs], [[span.student for span in row] for row in rows]),
        _aligned_tokens([teacher for _, teacher in pairs], [[span.teacher for span in row] for row in rows]),
        _padded([[span.end for span in row] for row in rows]),
        _padded([[1] * len(row) for row in rows]).bool(),
    )


def _aligned_tokens(texts: list[Tokens], spans: list[list[range]]) -> AlignedTokens:
    none = max(map(len, spans), default=0)
    span = [[none] * len(text.ids) for text in texts]
    for of, row in zip(span, spans, strict=True):
        for number, where in enumerate(row):
            of[where.start : where.stop] = [number] * len(where)
    return AlignedTokens(
        _padded([list(text.ids) for text in texts]),
        _padded([[1] * len(text.ids) for text in texts]).bool(),
        _padded(span, none),
        _padded([[where.start for where in row] for row in spans]),
        _padded([[where.stop for where in row] for row in spans]),
    )


def _padded(rows: list[list[int]], fill: int = 0) -> Tensor:
    width = max(map(len, rows), default=0)
    filled = [row + [fill] * (width - len(row)) for row in rows]
    return torch.tensor(filled, dtype=torch.int64, device="cpu").view(len(rows), width)


def _writing(tokens: Tokens) -> list[tuple[int, int]]:
    """Index and end of the tokens that write something."""
    ends = pairwise((0, *tokens.ends))
    return [(at, end) for at, (begin, end) in enumerate(ends) if end > begin]


def _check_text(student: Tokens, teacher: Tokens) -> None:
    at = first_difference(student.text, teacher.text)
    if at is not None:
        raise ValueError(
            f"the texts differ at byte {at}: the student has {_named(student, at)}, the teacher {_named(teacher, at)}"
        )


def _named(tokens: Tokens, byte: int) -> str:
    for at, end in _writing(tokens):
        if end > byte:
            return f"{tokens.piece(at)!r} there (token {at})"
    return "ended"
