"""Tokenised text with byte offsets: the bytes are what two tokenizers have in common.

Offsets come from the bytes of each token and never from decoded strings: a token may hold one byte of an emoji, which
decodes to nothing. A special token (`<s>`, `<pad>`) writes no bytes. To have the end of a text learnt, give `<eos>`
bytes of its own, the same on both sides; it then aligns like a character.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

CONVENTIONS = ("plain", "byte-level", "sentencepiece")


@dataclass(frozen=True)
class Tokens:
    """One text in the tokens of one tokenizer.

    Attributes:
        ids: of the tokens.
        ends: the byte offset at which each token ends; a special token ends where it begins.
        text: the bytes that the tokens write together.
    Raises ValueError: as many ends as ids are needed, none before the one in front of it, the last at the text's end.
    """

    ids: tuple[int, ...]
    ends: tuple[int, ...]
    text: bytes

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.ends):
            raise ValueError(f"{len(self.ids)} tokens need as many ends, not {len(self.ends)}")
        ends = [0, *self.ends]
        if ends != sorted(ends) or ends[-1] != len(self.text):
            raise ValueError(
                f"the ends {list(self.ends)} do not go up from 0 to {len(self.text)}, the bytes of the text"
            )

    def piece(self, at: int) -> bytes:
        """The bytes that token number `at` writes."""
        return self.text[self.ends[at - 1] if at else 0 : self.ends[at]]


def tokens(ids: Iterable[int], pieces: Sequence[bytes], *, dummy_space: bool = False) -> Tokens:
    """Ids with the byte offsets that their pieces give them.

    Args:
        ids: of the text, special tokens included.
        pieces: the bytes of each id, from `pieces` or by hand; empty for special tokens.
        dummy_space: the tokenizer writes a space before the text that the text does not have (SentencePiece's
            add_dummy_prefix): the first byte, if it is a space, is not counted. A first token that is nothing but that
            space becomes empty, and belongs to no span.
    Raises ValueError: an id that pieces does not have.
    """
    ids = tuple(ids)
    wrong = next((i for i in ids if not 0 <= i < len(pieces)), None)
    if wrong is not None:
        raise ValueError(f"no piece for the id {wrong}; there are {len(pieces)}")
    written = [pieces[i] for i in ids]
    text = b"".join(written)
    ends = accumulate(map(len, written))
    if dummy_space and text.startswith(b" "):
        return Tokens(ids, tuple(max(0, end - 1) for end in ends), text[1:])
    return Tokens(ids, tuple(ends), text)


def pieces(
    vocabulary: Mapping[str, int] | Sequence[str],
    convention: str = "plain",
    *,
    special: Iterable[str] = (),
    literal: Iterable[str] = (),
) -> tuple[bytes, ...]:
    """The bytes that each id of a vocabulary writes.

    | convention    | a token is written as                                                   | found in           |
    |---------------|-------------------------------------------------------------------------|--------------------|
    | plain         | itself, in UTF-8                                                        | `Vocabulary` of lm |
    | byte-level    | one letter for each byte, Ġ for a space                                 | GPT-2, Llama 3     |
    | sentencepiece | itself with ▁ for a space; `<0xE2>` is one byte                          | Llama 2, Gemma     |

    Conventions in which a space belongs to no token (WordPiece's ##) have no byte offsets.

    Args:
        vocabulary: ids by token, what `get_vocab()` of a tokenizer of Hugging Face gives, or the tokens in their order.
        convention: one of `CONVENTIONS`.
        special: tokens that write nothing.
        literal: tokens that stand for themselves whatever the convention, such as added tokens.
    Returns: the bytes by id; empty where no token has the id.
    Raises ValueError: an unknown convention, or a token that is not written in it.
    """
    if convention not in CONVENTIONS:
        raise ValueError(f"unknown convention {convention!r}; known: {', '.join(CONVENTIONS)}")
    if not isinstance(vocabulary, Mapping):
        vocabulary = {token: i for i, token in enumerate(vocabulary)}
    special, literal = frozenset(special), frozenset(literal)
    found = [b""] * (max(vocabulary.values(), default=-1) + 1)
    for token, i in vocabulary.items():
        if token not in special:
            found[i] = _bytes(token, "plain" if token in literal else convention)
    return tuple(found)


def retokenise(text: bytes, encode: Callable[[bytes], Iterable[int]], pieces: Sequence[bytes]) -> Tokens:
    """A text that the teacher wrote, as the student's tokens.

    What distillation from the teacher's text (Kim & Rush, "Sequence-level knowledge distillation", arXiv:1606.07947)
    needs besides plain cross-entropy: it is data and no loss. For texts sampled from the teacher, cross-entropy's
    minimiser is the teacher's distribution over texts, whatever the vocabularies; texts found by beam search give its
    mode.

    Raises ValueError: the student's tokens write other bytes.
    """
    found = tokens(encode(text), pieces)
    at = first_difference(found.text, text)
    if at is not None:
        raise ValueError(
            f"the student's tokens write {found.text[at : at + 8]!r} at byte {at}, where the text has "
            f"{text[at : at + 8]!r}"
        )
    return found


def first_difference(a: bytes, b: bytes) -> int | None:
    """The first byte at which two texts differ, the end of the shorter one included; None where they are equal."""
    if a == b:
        return None
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _bytes(token: str, convention: str) -> bytes:
    if convention == "byte-level":
        letters = _letters()
        strange = next((letter for letter in token if letter not in letters), None)
        if strange is not None:
            raise ValueError(
                f"the token {token!r} is not byte-level: {strange!r} stands for no byte; name it under special or "
                "literal"
            )
        return bytes(letters[letter] for letter in token)
    if convention == "sentencepiece":
        if re.fullmatch("<0x[0-9A-Fa-f]{2}>", token):
            return bytes([int(token[3:5], 16)])
        token = token.replace("▁", " ")
    return token.encode()


@cache
def _letters() -> dict[str, int]:
    """Byte-level BPE's letters: printable bytes of Latin-1 stand for themselves, the others come from 256 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}
