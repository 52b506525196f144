"""The entropy rate of a language, and the entropies without context and with the topic given."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .hmm import MARK, Language

BURN_IN = 50
"""Words before the first that counts, after which a belief no longer depends on the start."""

CONTEXTS_AT_ONCE = 1024


@dataclass(frozen=True)
class Entropies:
    """Entropies in bits per character, marks included; all but `rate` are exact.

    Attributes:
        rate: of a word given all words before it.
        error: one standard error of `rate`. For each context the sum over all words is exact; contexts are sampled.
        unigram: of a word without context; context explains `unigram` − `rate`.
        given_topic: of a word given its topic.
        characters: mean length of a word, its mark included.
    """

    rate: float
    error: float
    unigram: float
    given_topic: float
    characters: float


def entropies(language: Language, *, documents: int = 200, words: int = 20, seed: int = 0) -> Entropies:
    """The entropies of a language in its stationary state.

    The sample has `words` contexts in each of `documents` documents.
    Raises ValueError: fewer than two documents, or no words.
    """
    if documents < 2 or words < 1:
        raise ValueError(f"{documents} documents of {words} words; it takes at least 2 of 1")
    numbers = language.draw(np.random.default_rng(seed), documents, BURN_IN + words - 1)
    beliefs = language.beliefs(numbers)[0][:, BURN_IN:].reshape(-1, language.topics)
    blocks = np.array_split(beliefs, math.ceil(len(beliefs) / CONTEXTS_AT_ONCE))
    of_contexts = np.concatenate([_entropy(block @ language.emission) for block in blocks])
    of_documents = of_contexts.reshape(documents, words).mean(-1)
    topics = language.stationary
    unigram = topics @ language.emission
    characters = float(unigram @ np.array([len(word) + len(MARK) for word in language.words]))
    bits = 1 / (characters * math.log(2))
    return Entropies(
        rate=float(of_documents.mean()) * bits,
        error=float(of_documents.std(ddof=1)) / math.sqrt(documents) * bits,
        unigram=float(_entropy(unigram)) * bits,
        given_topic=float(topics @ _entropy(language.emission)) * bits,
        characters=characters,
    )


def _entropy(p: np.ndarray) -> np.ndarray:
    """(…, W) to (…), in nats."""
    return np.asarray(-(p * np.log(np.where(p > 0, p, 1.0))).sum(-1))
