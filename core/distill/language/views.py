"""Tokenisers of a language: by characters, by byte-pair encoding, by words.

    char    k a t o ␣            every letter and the mark
    bpe     kat o␣               learnt subwords; none crosses a mark
    word    kato␣                each word with its mark

A view is a vocabulary. `<eos>` precedes a document, so that its first token is predicted from it; texts have no end,
so it never follows one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ...lm.vocabulary import EOS, PAD, Vocabulary
from ...suggest import did_you_mean
from .hmm import MARK, Language
from .merges import Merges, learnt, merged

VIEWS = "char", "bpe", "word"

LEARNT_FROM = 200_000
"""Characters of the text that merges are learnt from."""


@dataclass(frozen=True)
class View(Vocabulary):
    """Tokens of a language.

    Attributes:
        name: one of `VIEWS`.
        words: of the language, in its order, without marks.
        merges: None for whole words; empty for characters.
    """

    name: str
    words: tuple[str, ...]
    merges: Merges | None

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits, the same in every process for the same tokens, merges and words."""
        parts = json.dumps([self.name, self.tokens, self.words, self.merges])
        return hashlib.blake2b(parts.encode(), digest_size=8).hexdigest()

    @cached_property
    def lengths(self) -> np.ndarray:
        """(V,) characters of each token, which are bytes too; `<pad>` and `<eos>` have none."""
        return np.array([0 if token in (PAD, EOS) else len(token) for token in self.tokens])

    @cached_property
    def pieces(self) -> tuple[bytes, ...]:
        """The bytes of each token; none for `<pad>` and `<eos>`."""
        return tuple(
            token.encode() if length else b"" for token, length in zip(self.tokens, self.lengths, strict=True)
        )

    @cached_property
    def closing(self) -> np.ndarray:
        """(V,), whether a token ends a word."""
        return np.array([token.endswith(MARK) for token in self.tokens])

    @cached_property
    def spellings(self) -> tuple[tuple[int, ...], ...]:
        """The tokens of each word, its mark included; no other sequence of tokens is that word."""
        return tuple(tuple(self._spelt(word + MARK)) for word in self.words)

    @cached_property
    def _spellings(self) -> dict[str, tuple[int, ...]]:
        return dict(zip(self.words, self.spellings, strict=True))

    @cached_property
    def _rank(self) -> dict[tuple[str, str], int]:
        return {pair: i for i, pair in enumerate(self.merges or ())}

    def _spelt(self, piece: str) -> list[int]:
        before, begins, after = piece.partition(EOS)
        if begins:
            return [*self._spelt(before), self.eos, *self._spelt(after)]
        ids = self._ids
        if self.merges is None:
            if piece and piece not in ids:
                raise ValueError(f"{piece!r} is no word of the language with its mark")
            return [ids[piece]] if piece else []
        for letter in piece:
            if letter not in ids:
                raise ValueError(f"no token for {letter!r} in the word {piece.removesuffix(MARK)!r}")
        return [ids[part] for part in merged(piece, self._rank)]

    def encode(self, text: str) -> list[int]:
        """The ids of a text, as it stands: `<eos>` only where the text has it.

        Raises ValueError: a letter that no word has, or, by words, one that is none.
        """
        known = self._spellings
        *words, rest = text.split(MARK)
        ids: list[int] = []
        for word in words:
            ids += known[word] if word in known else self._spelt(word + MARK)
        return ids + self._spelt(rest)

    def rows(self, texts: Sequence[str], columns: int | None = None) -> Tensor:
        """(texts, columns) ids of documents, each with `<eos>` before it, padded behind its end, or cut off at `columns`.

        Raises ValueError: a text that cannot be encoded, or no columns.
        """
        if columns is not None and columns < 1:
            raise ValueError(f"columns is {columns}; it must be at least 1")
        found = [[self.eos, *self.encode(text)][:columns] for text in texts]
        width = columns or max(map(len, found), default=1)
        return torch.tensor([row + [self.pad] * (width - len(row)) for row in found], device="cpu").reshape(
            -1, width
        )

    def ends(self, ids: np.ndarray | Tensor) -> np.ndarray:
        """(…, tokens) where each token ends in its row's text, in characters; it begins where the one before it ends."""
        return np.asarray(self.lengths[np.asarray(ids)].cumsum(-1))


def view(language: Language, name: str, *, size: int = 512, seed: int = 0) -> View:
    """A view by name.

    Args:
        name: one of `VIEWS`.
        size: tokens of `bpe`, `<pad>` and `<eos>` included.
        seed: of the text that the merges of `bpe` are learnt from.
    Raises ValueError: no such view, or a size that the language does not allow.
    """
    if name not in VIEWS:
        raise ValueError(f"no view {name}.{did_you_mean(name, VIEWS)} There are: {', '.join(VIEWS)}")
    words = language.words
    alphabet = "".join(sorted(set("".join(words)))) + MARK
    if name == "word":
        return View((PAD, EOS, *(word + MARK for word in words)), name, words, None)
    if name == "char":
        return View((PAD, EOS, *alphabet), name, words, ())
    texts = language.write(np.random.default_rng(seed), 100, LEARNT_FROM // 100)
    try:
        pieces, merges = learnt(texts, alphabet, size - 2)
    except ValueError as e:
        raise ValueError(f"size is {size}, two of them {PAD} and {EOS}: {e}") from None
    return View((PAD, EOS, *pieces), name, words, merges)
