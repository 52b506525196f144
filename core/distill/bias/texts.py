"""A language, a text of it, and the true distributions along the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..language import Oracle, Truth, View, view, word_hmm

WIDTH = 128
"""Largest number of tokens of a document."""

FLOOR = -20.0
"""The least log-probability, since reverse KL and JSD cannot use −∞. The truth therefore has at most 0.000002 of its
mass on tokens that cannot follow, for teacher and student alike."""


@dataclass(frozen=True, eq=False)
class Text:
    """Documents of a language in the tokens of one view.

    Attributes:
        truth: of the language in this view.
        ids: (documents, tokens + 1), `<eos>` first, none padded.
    """

    truth: Truth
    ids: Tensor

    @property
    def view(self) -> View:
        return self.truth.view

    def log_probs(self) -> Tensor:
        """(documents, tokens, V) true log-probabilities of each token but the first, in float64."""
        log_p: Tensor = Oracle(self.truth, FLOOR, torch.float64)(self.ids)[:, :-1].log_softmax(-1)
        return log_p

    def decode(self) -> list[str]:
        """The documents as strings."""
        return ["".join(self.view.tokens[i] for i in row) for row in self.ids[:, 1:].tolist()]


def sample_text(tokens: int, *, topics: int, words: int, vocabulary: int, seed: int) -> Text:
    """A text of this many tokens of byte-pair encoding, in documents of equal length; each seed has its own language."""
    language = word_hmm(topics, words, seed=seed)
    pieces = view(language, "bpe", size=vocabulary, seed=seed)
    width = min(tokens, WIDTH)
    longest = max(len(word) for word in language.words) + 1  # no token is longer than a word and its mark
    texts = language.write(np.random.default_rng(seed), -(-tokens // width), width * longest)
    return Text(Truth(language, pieces), pieces.rows(texts, width + 1))


def by_characters(text: Text) -> tuple[Text, Sequence[int]]:
    """The same documents as characters, padded behind their ends, and their lengths."""
    characters = view(text.truth.language, "char")
    documents = text.decode()
    return Text(Truth(text.truth.language, characters), characters.rows(documents)), [
        len(document) for document in documents
    ]
