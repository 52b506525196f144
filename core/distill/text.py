"""The texts of an experiment on distillation, drawn from one language: for teachers, for students, held out."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
from torch import Tensor

from .language import Language, Truth, View, view, word_hmm

FOR_TEACHERS, FOR_STUDENTS, HELD_OUT = 1, 2, 3
"""First number of a text's seed, so that no two of the three are the same text."""


@dataclass(frozen=True)
class Source:
    """A language and its byte-pair encoding, which texts are drawn from.

    Attributes:
        topics, words: of the language.
        vocabulary: tokens of the encoding.
        columns: tokens of a document, the `<eos>` before it included.
    """

    topics: int
    words: int
    vocabulary: int
    columns: int

    @cached_property
    def language(self) -> Language:
        return word_hmm(self.topics, self.words)

    @cached_property
    def view(self) -> View:
        return view(self.language, "bpe", size=self.vocabulary)

    @cached_property
    def truth(self) -> Truth:
        return Truth(self.language, self.view)

    def documents(self, count: int, *seed: int) -> Tensor:
        """(count, columns) ids without padding, the same for the same seed: one of the three above, and a number."""
        longest = int(self.view.lengths.max())
        texts = self.language.write(np.random.default_rng(seed), count, self.columns * longest)
        return self.view.rows(texts, self.columns)

    @property
    def key(self) -> str:
        """The cache key of this source."""
        return json.dumps([asdict(self), self.language.digest, self.view.digest])
