"""The teacher's tokens as a tree over the student's characters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Trie:
    """A trie of the teacher's tokens in the student's. Node 0 is the root; the last, `dead`, is on no token's path.

    Attributes:
        child: (nodes, V_s), the node behind a character.
        parent: (nodes,), that of the root and of `dead` being themselves.
        depth: (nodes,), characters from the root; 0 for `dead`.
        node: (V_t,), where a token ends; `dead` for special tokens.
        length: (V_t,), the characters of a token; 0 for special tokens.
        character: (V_s,), true for the student's tokens that are characters: all but special ones.
    """

    child: Tensor
    parent: Tensor
    depth: Tensor
    node: Tensor
    length: Tensor
    character: Tensor

    def to(self, device: torch.device | str) -> Trie:
        """The same on another device."""
        return Trie(*(getattr(self, field.name).to(device) for field in fields(self)))

    @property
    def dead(self) -> int:
        """The node that is on no token's path."""
        return len(self.child) - 1

    @cached_property
    def levels(self) -> tuple[Tensor, ...]:
        """The nodes of each depth, the deepest first, without the root."""
        return tuple(
            (self.depth == depth).nonzero().squeeze(1) for depth in range(int(self.depth.max()), 0, -1)
        )

    def mass(self, p: Tensor) -> Tensor:
        """(…, V_t) probabilities of tokens to (…, nodes): at each node, that of a token which ends there or below.

        Only sums, so that small probabilities beside large ones keep their digits.
        """
        found = p.new_zeros(*p.shape[:-1], len(self.child)).index_add(-1, self.node, p)
        for level in self.levels:
            found.index_add_(-1, self.parent[level], found[..., level])
        found[..., self.dead] = 0
        return found


def trie(student_pieces: Sequence[bytes], teacher_pieces: Sequence[bytes]) -> Trie:
    """The tree of the teacher's tokens over the student's.

    Args:
        student_pieces: the bytes of each id of the student's: characters or bytes, none the beginning of another.
        teacher_pieces: the bytes of each id of the teacher's.
    Raises ValueError: a student's token that begins with another or stands twice, or a teacher's that they do not
    spell.
    """
    letters = _letters(student_pieces)
    children: list[dict[int, int]] = [{}]
    parent, depth = [0], [0]
    ends: list[int | None] = []
    lengths = []
    for t, piece in enumerate(teacher_pieces):
        at = 0
        word = _spelled(piece, letters, t)
        for letter in word:
            if letter not in children[at]:
                children[at][letter] = len(children)
                children.append({})
                parent.append(at)
                depth.append(depth[at] + 1)
            at = children[at][letter]
        ends.append(at if word else None)
        lengths.append(len(word))
    dead = len(children)
    child = torch.full((dead + 1, len(student_pieces)), dead, device="cpu")
    for at, row in enumerate(children):
        for letter, to in row.items():
            child[at, letter] = to
    return Trie(
        child,
        torch.tensor([*parent, dead], device="cpu"),
        torch.tensor([*depth, 0], device="cpu"),
        torch.tensor([dead if end is None else end for end in ends], device="cpu"),
        torch.tensor(lengths, device="cpu"),
        torch.tensor([bool(piece) for piece in student_pieces], device="cpu"),
    )


def _letters(pieces: Sequence[bytes]) -> dict[bytes, int]:
    found = {piece: i for i, piece in enumerate(pieces) if piece}
    for i, piece in enumerate(pieces):
        begins = next((piece[:n] for n in range(1, len(piece)) if piece[:n] in found), None)
        if begins is not None or (piece and found[piece] != i):
            with_ = (
                f"begins with {begins!r}" if begins is not None else f"stands twice, {i} and {found[piece]}"
            )
            raise ValueError(
                f"the student's token {piece!r} {with_}: it needs one way to write a text, as characters have"
            )
    return found


def _spelled(piece: bytes, letters: dict[bytes, int], t: int) -> list[int]:
    word, rest = [], piece
    while rest:
        letter = next((rest[:n] for n in range(1, len(rest) + 1) if rest[:n] in letters), None)
        if letter is None:
            raise ValueError(
                f"the student's characters do not spell the teacher's token {t}, {piece!r}, from {rest!r} on"
            )
        word.append(letters[letter])
        rest = rest[len(letter) :]
    return word
