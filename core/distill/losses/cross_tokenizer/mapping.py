"""The teacher's tokens as the student's: by the same string, or by the nearest.

A mapping is made once for a pair of vocabularies: (V_t,) student's ids, −1 where a token has none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from .alignment import Alignment
from .divergence import scaled, soft_targets
from .spans import common_units
from .units import masked_teacher
from .vocabularies import by_bytes, shared

MERGES = ("max", "sum")


def exact_string(
    student_pieces: Sequence[bytes], teacher_pieces: Sequence[bytes], also: Iterable[tuple[int, int]] = ()
) -> Tensor:
    """The mapping that sends a token to the student's token of the same bytes, and others nowhere.

    Args:
        student_pieces, teacher_pieces: the bytes of each id (`pieces`): Ġ and ▁ are spaces on both sides.
        also: pairs (student's id, teacher's id) of special tokens that mean the same.
    Raises ValueError: no token of one vocabulary is in the other.
    """
    pairs = shared(student_pieces, teacher_pieces, also)
    same = by_bytes(student_pieces)
    mapping = torch.tensor([same.get(piece, -1) for piece in teacher_pieces], device="cpu")
    mapping[pairs.teacher] = pairs.student
    return mapping


def min_ed(
    student_pieces: Sequence[bytes], teacher_pieces: Sequence[bytes], also: Iterable[tuple[int, int]] = ()
) -> Tensor:
    """The mapping that sends every token to the student's token with the least edit distance.

    FuseLLM (Wan et al., arXiv:2401.10491). Insertions, deletions and substitutions of characters cost 1 each; a
    byte that is no whole character counts as one. Between student's tokens at the same distance, the one that shares
    the longer beginning is taken, since that is what the text goes on with; then the lowest id. Special tokens are sent
    nowhere unless `also` says so.

    Arguments are those of `exact_string`.

    Raises ValueError: a vocabulary of special tokens only.
    """
    same = by_bytes(student_pieces)
    if not same or not any(teacher_pieces):
        raise ValueError("a vocabulary has no token that writes anything")
    names = [(_characters(piece), i) for piece, i in same.items()]
    names.sort(key=lambda each: each[1])
    width = max(len(name) for name, _ in names)
    codes = torch.tensor([[*map(ord, name), *[-1] * (width - len(name))] for name, _ in names], device="cpu")
    lengths = torch.tensor([len(name) for name, _ in names], device="cpu")
    mapping = torch.full((len(teacher_pieces),), -1, device="cpu")
    for t, piece in enumerate(teacher_pieces):
        if piece in same:
            mapping[t] = same[piece]
        elif piece:
            name = torch.tensor([*map(ord, _characters(piece))], device="cpu")
            distance, beginning = edit_distances(name, codes, lengths), _beginnings(name, codes)
            rank = distance * (width + 1) - beginning  # argmin takes the first of equals
            mapping[t] = names[int(rank.argmin())][1]
    for student, teacher in also:
        mapping[teacher] = student
    return mapping


def edit_distances(word: Tensor, words: Tensor, lengths: Tensor) -> Tensor:
    """Levenshtein's distance from one word to many.

    Row by row, all words at once. Along a row, what an insertion may come from is a running minimum: of
    d[i, j] = min(m[j], d[i, j − 1] + 1) the solution is j + min over k ≤ j of (m[k] − k).

    Args:
        word: (length,), codes of characters.
        words: (words, width), padded with anything.
        lengths: (words,).
    Returns: (words,) whole numbers.
    """
    steps = torch.arange(words.shape[1] + 1, device="cpu")
    row = steps.expand(len(words), -1)
    for i, letter in enumerate(word.tolist(), 1):
        m = torch.full_like(row, i)
        m[:, 1:] = torch.minimum(row[:, 1:] + 1, row[:, :-1] + (words != letter))
        row = (m - steps).cummin(1).values + steps
    return row.gather(1, lengths.unsqueeze(1)).squeeze(1)


def to_student(teacher_logits: Tensor, mapping: Tensor, size: int, merge: str = "max") -> Tensor:
    """The teacher's distribution over the student's vocabulary, as log-probs.

    Args:
        teacher_logits: (…, V_t).
        mapping: (V_t,), from `exact_string` or `min_ed`.
        size: V_s.
        merge: of the tokens that are sent to one, "max" takes the likeliest, as FuseLLM and DSKD do, "sum" all. What
            is sent nowhere is left out, and the rest scaled to sum to 1.
    Returns: (…, V_s); −∞ for student's tokens that nothing is sent to, and for all where the teacher gives
    those that are sent no probability.
    Raises ValueError: an unknown merge, or a mapping for other vocabularies.
    """
    if merge not in MERGES:
        raise ValueError(f"unknown merge {merge!r}; known: {', '.join(MERGES)}")
    if mapping.shape != teacher_logits.shape[-1:] or int(mapping.max()) >= size:
        raise ValueError(
            f"a mapping of {len(mapping)} tokens to {int(mapping.max()) + 1} or more does not fit a teacher with "
            f"{teacher_logits.shape[-1]} and a student with {size}"
        )
    mapping = mapping.to(teacher_logits.device)
    sent = mapping >= 0
    to = mapping[sent].expand(*teacher_logits.shape[:-1], -1)
    logp = teacher_logits.log_softmax(-1)[..., sent]
    found = logp.new_full((*logp.shape[:-1], size), -math.inf).scatter_reduce(-1, to, logp, "amax")
    if merge == "sum":
        ratio = (
            (logp - found.gather(-1, to)).exp().nan_to_num()
        )  # −∞ less −∞ where all that is sent there is nothing
        found = found + torch.zeros_like(found).scatter_add(-1, to, ratio).log()
    return scaled(found)


def mapped_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    mapping: Tensor,
    mask: Tensor | None = None,
    temperature: float = 1.0,
    *,
    alignment: Alignment | None = None,
    merge: str = "max",
    num_items: float | None = None,
) -> Tensor:
    """T²·KL(p̃_T‖q_T), p̃ the teacher's distribution carried over by a mapping; mean over unmasked units.

    Exact strings and MinED (FuseLLM, arXiv:2401.10491) are two mappings for one loss. Minimiser: q = p̃. Known
    bias: p̃ is not the true distribution of the student's next token: a student's "t" stands for all words that begin
    with t, the teacher's "t" for the few that are cut after it. Positions inside a span have no target; DSKD's code
    trains on the text's own token there, which a cross-entropy beside this loss does as well.

    Args:
        student_logits, teacher_logits, mask, alignment, num_items: as in `uld`.
        mapping: (V_t,), from `exact_string` or `min_ed`.
        temperature: T, of both; the teacher's after it was carried over.
        merge: what becomes of several tokens that are sent to one (`to_student`).
    Raises ValueError: shapes that do not match, T ≤ 0, an unknown merge, or NaN in the teacher.
    """
    student_logits, teacher_logits, mask = common_units(student_logits, teacher_logits, mask, alignment)
    p = to_student(masked_teacher(teacher_logits, mask), mapping, student_logits.shape[-1], merge)
    return soft_targets(student_logits, p, mask, temperature, num_items=num_items)


def _characters(piece: bytes) -> str:
    return piece.decode(errors="surrogateescape")


def _beginnings(word: Tensor, words: Tensor) -> Tensor:
    """How many characters each of (words, width) shares with a word from the first on."""
    width = min(len(word), words.shape[1])
    return (words[:, :width] == word[:width]).int().cumprod(1).sum(1)
