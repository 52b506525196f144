"""One text in the tokens of two models, ours or Hugging Face's, and where these agree."""

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
from ..losses.cross_tokenizer import Alignment, Tokens, align_batch, pieces, retokenise, tokens, word_ends
from ..losses.cross_tokenizer import Side as Cut

if TYPE_CHECKING:
    from ...lm.hugging_face import Vocabulary as Given


@dataclass(frozen=True, eq=False)
class Side:
    """A tokenizer.

    Attributes:
        pieces: the bytes of each id, empty for special tokens and for rows of a model that no token has.
        encode: a text to ids, without special tokens.
        start: the token that the first prediction is made from.
        end: the token that ends what a model writes.
        pad: any other id; nobody looks where it stands.
        dummy_space: `encode` puts a space before a text that the text has not.
        by_words: no token goes across a word's end, and a word's mark stands at its end.
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
        """Of the vocabulary; 16 hexadecimal digits."""
        parts = json.dumps([[piece.hex() for piece in self.pieces], self.start])
        return hashlib.blake2b(parts.encode(), digest_size=8).hexdigest()

    def tokens(self, text: str) -> Tokens:
        """A text's tokens with the bytes at which they end.

        Raises:
            ValueError: they write another text; the first byte that differs is named.
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


def ours(view: View) -> Side:
    """A view of the known language."""
    special = view.eos, view.pad
    written = tuple(b"" if i in special else token.encode() for i, token in enumerate(view.tokens))
    return Side(written, view.encode, view.eos, view.eos, view.pad, by_words=True)


def given(words: Given, rows: int) -> Side:
    """A tokenizer of transformers.

    How its tokens are written is seen from its vocabulary: Ġ and its like are bytes (`byte-level`), ▁ is a space
    (`sentencepiece`), and else tokens are themselves (`plain`).

    Args:
        rows: of the model's embedding, of which there may be more than tokens.
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
    return Side(found, encode, start, words.eos, words.pad, written == b" a")


@dataclass(frozen=True, eq=False)
class Both:
    """Documents as two models read them.

    Attributes:
        student, teacher: the tokenizers.
        texts: the documents.
        cut: of each document, the student's tokens and the teacher's.
    """

    student: Side
    teacher: Side
    texts: tuple[str, ...]
    cut: tuple[tuple[Tokens, Tokens], ...]

    @cached_property
    def student_ids(self) -> Tensor:
        return self.student.rows([pair[0] for pair in self.cut])

    @cached_property
    def teacher_ids(self) -> Tensor:
        return self.teacher.rows([pair[1] for pair in self.cut])

    @cached_property
    def spans(self) -> Alignment:
        """The shortest, of all documents."""
        return align_batch(self.cut)

    @cached_property
    def word_spans(self) -> Alignment:
        """Those that end where words do. A word ends behind its mark, so that its likelihood says that it is over."""
        return align_batch(self.cut, [word_ends(a.text, leading=False) for a, _ in self.cut])

    @cached_property
    def bytes(self) -> int:
        """Of all documents; they are the characters where letters have one."""
        return sum(len(text.encode()) for text in self.texts)

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(self.texts).encode()).hexdigest()[:16]


def both(student: Side, teacher: Side, texts: Sequence[str]) -> Both:
    """The documents in both.

    Raises:
        ValueError: a tokenizer that does not write the text again; whose, where, and how.
    """
    cut = []
    for number, text in enumerate(texts):
        pair = []
        for who, side in (("student", student), ("teacher", teacher)):
            try:
                pair.append(side.tokens(text))
            except ValueError as e:
                said = str(e).replace("the student's tokens", f"the {who}'s tokens")
                raise ValueError(f"document {number} does not align: {said}") from None
        cut.append((pair[0], pair[1]))
    return Both(student, teacher, tuple(texts), tuple(cut))


def some(alignment: Alignment, rows: Tensor) -> Alignment:
    """These documents of an alignment, as wide as all."""

    def of(side: Cut) -> Cut:
        return replace(side, **{f.name: getattr(side, f.name)[rows] for f in fields(side)})

    return Alignment(of(alignment.student), of(alignment.teacher), alignment.end[rows], alignment.mask[rows])


def written(view: View, ids: Tensor) -> list[str]:
    """Rows of a view as texts, up to the end of each, without `<eos>`."""
    texts = []
    for row in ids[:, 1:].tolist():
        text = ""
        for i in row:
            if (token := view.tokens[i]) in (EOS, PAD):
                break
            text += token
        texts.append(text)
    return texts


def of_file(path: Path, length: int) -> list[str]:
    """The documents of a file: pieces of so many characters, cut at white space.

    Raises:
        ValueError: fewer than two of them, or no UTF-8.
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
