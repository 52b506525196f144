"""One text in the tokens of two models, ours or Hugging Face's, and the spans that these have in common."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...lm.vocabulary import EOS, PAD
from ..language import View
from ..losses.cross_tokenizer import (
    AlignedTokens,
    Alignment,
    Tokens,
    align_batch,
    pieces,
    retokenise,
    tokens,
    word_ends,
)

if TYPE_CHECKING:
    from ...lm.hugging_face import Vocabulary


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """A tokenizer, ours or of transformers.

    Attributes:
        pieces: the bytes of each id, empty for special tokens and for rows of an embedding that no token has.
        encode: a text to ids, without special tokens.
        start: the token from which the first one is predicted.
        end: the token that ends a completion.
        pad: any other id; it is always masked.
        dummy_space: `encode` adds a space before the text.
        by_words: no token crosses a word's end, and the mark between words ends each word.
    """

    pieces: tuple[bytes, ...]
    encode: Callable[[str], list[int]]
    start: int
    end: int
    pad: int
    dummy_space: bool = False
    by_words: bool = False

    @cached_property
    def digest(self) -> str:
        """The vocabulary's digest, 16 hexadecimal digits."""
        parts = json.dumps([[piece.hex() for piece in self.pieces], self.start])
        return hashlib.blake2b(parts.encode(), digest_size=8).hexdigest()

    def tokens(self, text: str) -> Tokens:
        """A text's tokens with the bytes at which they end.

        Raises ValueError: the tokens do not decode to the text; the message names the first byte that differs.
        """
        if self.dummy_space:
            found = tokens(self.encode(text), self.pieces, dummy_space=True)
            return (
                found
                if found.text == text.encode()
                else retokenise(text.encode(), lambda _: found.ids, self.pieces)
            )
        return retokenise(text.encode(), lambda _: self.encode(text), self.pieces)

    def rows(self, texts: Sequence[Tokens]) -> Tensor:
        """(texts, 1 + longest) ids, `start` first, padded behind."""
        width = max(len(text.ids) for text in texts)
        return torch.tensor(
            [[self.start, *text.ids] + [self.pad] * (width - len(text.ids)) for text in texts], device="cpu"
        )


def of_view(view: View) -> Tokenizer:
    """The tokenizer of a view of the known language."""
    special = view.eos, view.pad
    written = tuple(b"" if i in special else token.encode() for i, token in enumerate(view.tokens))
    return Tokenizer(written, view.encode, view.eos, view.eos, view.pad, by_words=True)


def of_hugging_face(words: Vocabulary, rows: int) -> Tokenizer:
    """A tokenizer of transformers, for an embedding of so many rows, which may be more than the tokens.

    Its vocabulary decides the convention of `pieces`: with a Ġ tokens are `byte-level`, with a ▁ `sentencepiece`, else
    `plain`.
    """
    tokenizer: Any = words.tokenizer
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    special = set(tokenizer.all_special_tokens)
    literal = {str(token) for token in tokenizer.get_added_vocab()} - special
    rest = [token for token in vocabulary if token not in special and token not in literal]
    if any("Ġ" in token for token in rest):
        convention = "byte-level"
    else:
        convention = "sentencepiece" if any("▁" in token for token in rest) else "plain"
    found = pieces(vocabulary, convention, special=special, literal=literal)
    found = (*found, *[b""] * (rows - len(found)))

    def encode(text: str) -> list[int]:
        return [int(i) for i in tokenizer.encode(text, add_special_tokens=False)]

    written = b"".join(found[i] for i in encode("a"))
    start = words.before[-1] if words.before else tokenizer.bos_token_id
    start = words.eos if start is None else int(start)
    return Tokenizer(found, encode, start, words.eos, words.pad, written == b" a")


@dataclass(frozen=True, eq=False)
class TokenizedTexts:
    """Documents in the tokens of two models.

    Attributes:
        student, teacher: the tokenizers.
        texts: the documents.
        tokens: of each document, the student's and the teacher's.
    """

    student: Tokenizer
    teacher: Tokenizer
    texts: tuple[str, ...]
    tokens: tuple[tuple[Tokens, Tokens], ...]

    @cached_property
    def student_ids(self) -> Tensor:
        return self.student.rows([pair[0] for pair in self.tokens])

    @cached_property
    def teacher_ids(self) -> Tensor:
        return self.teacher.rows([pair[1] for pair in self.tokens])

    @cached_property
    def spans(self) -> Alignment:
        """The minimal spans of all documents."""
        return align_batch(self.tokens)

    @cached_property
    def word_spans(self) -> Alignment:
        """Spans that end at words' ends. A word ends after its mark, so that its likelihood includes its end."""
        return align_batch(self.tokens, [word_ends(a.text, leading=False) for a, _ in self.tokens])

    @cached_property
    def bytes(self) -> int:
        """Bytes of all documents; these are the characters of an ASCII text."""
        return sum(len(text.encode()) for text in self.texts)

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(self.texts).encode()).hexdigest()[:16]


def tokenize(student: Tokenizer, teacher: Tokenizer, texts: Sequence[str]) -> TokenizedTexts:
    """The documents in the tokens of both.

    Raises ValueError: a tokenizer whose tokens do not decode to the text; the message says whose, where, and how.
    """
    found = []
    for number, text in enumerate(texts):
        pair = []
        for who, tokenizer in (("student", student), ("teacher", teacher)):
            try:
                pair.append(tokenizer.tokens(text))
            except ValueError as e:
                message = str(e).replace("the student's tokens", f"the {who}'s tokens")
                raise ValueError(f"document {number} does not align: {message}") from None
        found.append((pair[0], pair[1]))
    return TokenizedTexts(student, teacher, tuple(texts), tuple(found))


def select(alignment: Alignment, documents: Tensor) -> Alignment:
    """The alignment of these documents, padded as it was."""

    def of(side: AlignedTokens) -> AlignedTokens:
        return replace(side, **{f.name: getattr(side, f.name)[documents] for f in fields(side)})

    student, teacher = of(alignment.student), of(alignment.teacher)
    return Alignment(student, teacher, alignment.end[documents], alignment.mask[documents])


def decode_rows(view: View, ids: Tensor) -> list[str]:
    """Rows of ids as texts, up to the end of each, without `<eos>`."""
    texts = []
    for row in ids[:, 1:].tolist():
        text = ""
        for i in row:
            if (token := view.tokens[i]) in (EOS, PAD):
                break
            text += token
        texts.append(text)
    return texts


def documents_of_file(path: Path, length: int) -> list[str]:
    """The documents of a file: pieces of at most `length` characters, cut at white space.

    Raises ValueError: fewer than two of them, or no UTF-8.
    """
    try:
        words = path.read_text(encoding="utf-8").split()
    except UnicodeDecodeError:
        raise ValueError(f"{path}: no text in UTF-8") from None
    texts, now = list[str](), ""
    for word in words:
        if now and len(now) + 1 + len(word) > length:
            texts.append(now)
            now = ""
        now = f"{now} {word}" if now else word
    texts += [now] if now else []
    if len(texts) < 2:
        raise ValueError(f"{path}: less than two documents of {length} characters; some are held out")
    return texts
