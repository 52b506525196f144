"""The texts of an experiment on distillation: one language, one view of it, and what is drawn from it for whom."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
from torch import Tensor

from .language import Language, Truth, View, view, word_hmm

FOR_TEACHERS, FOR_STUDENTS, HELD_OUT = 1, 2, 3
"""Seeds of texts, so that none is another's."""


@dataclass(frozen=True)
class Source:
    """Where texts come from.

    Attributes:
        topics, words: of the language.
        vocabulary: tokens of its view by pieces of words.
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
        """(count, columns) ids without padding, the same for the same seed: for whom, and which of their texts."""
        longest = int(self.view.lengths.max())
        texts = self.language.write(np.random.default_rng(seed), count, self.columns * longest)
        return self.view.rows(texts, self.columns)

    @property
    def words_of_key(self) -> str:
        """Tells this source from all others."""
        return json.dumps([asdict(self), self.language.digest, self.view.digest])
