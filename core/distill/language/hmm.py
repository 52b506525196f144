"""A hidden Markov model over words: topics follow each other as a Markov chain, and each emits words of its own.

    z₁ ~ π,   z_{k+1} ~ A[z_k, ·],   w_k ~ E[z_k, ·]

A text is its words, each followed by a mark, here a space. Texts have no end: a finite text is a prefix, and its
probability is that of all texts with this prefix. The belief b over the next word's topic, given the words so far, is
computed exactly by the forward algorithm (Rabiner 1989, §III.A):

    p(w_k | w_1 … w_{k−1}) = b · E[:, w_k],    b ← (b ⊙ E[:, w_k]) A / p(w_k | …)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .words import pseudo_words

MARK = " "
"""Ends every word, so that no word is a prefix of another."""

NO_WORD = -1
"""The number of a word that the language lacks, and of padding."""


@dataclass(frozen=True, eq=False)
class Language:
    """A hidden Markov model over words.

    Attributes:
        words: (W,), without their mark.
        prior: (S,) π, the probabilities of the first word's topic.
        transition: (S, S) A, from a topic in its row to the next word's.
        emission: (S, W) E, the probabilities of a topic's words.
    Raises ValueError: the shapes do not fit, a row is no distribution, or a word is there twice or cannot be written.
    """

    words: tuple[str, ...]
    prior: np.ndarray
    transition: np.ndarray
    emission: np.ndarray

    def __post_init__(self) -> None:
        topics, words = len(self.prior), len(self.words)
        for name, shape in (
            ("prior", (topics,)),
            ("transition", (topics, topics)),
            ("emission", (topics, words)),
        ):
            table = np.array(getattr(self, name), dtype=np.float64)
            if table.shape != shape:
                raise ValueError(
                    f"{name} is {table.shape}; {topics} topics and {words} words make it {shape}"
                )
            if not (np.all(table >= 0) and np.allclose(table.sum(-1), 1, rtol=0, atol=1e-9)):
                raise ValueError(
                    f"a row of {name} is no distribution: it is negative somewhere, or its sum is not 1"
                )
            table.setflags(write=False)
            object.__setattr__(self, name, table)
        if len(set(self.words)) < words:
            twice = next(word for word in self.words if self.words.count(word) > 1)
            raise ValueError(f"word {twice!r} is there twice")
        for word in self.words:
            if not (word.isascii() and word.isalnum()):
                raise ValueError(f"word {word!r} must be of letters and digits of ASCII")

    @property
    def topics(self) -> int:
        """S."""
        return len(self.prior)

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits, the same in every process for the same language.

        Probabilities count to seven digits: a processor's powers differ in the last one of sixteen.
        """
        found = hashlib.blake2b(json.dumps(self.words).encode(), digest_size=8)
        for table in (self.prior, self.transition, self.emission):
            found.update(table.astype("<f4").tobytes())
        return found.hexdigest()

    @cached_property
    def number(self) -> dict[str, int]:
        """The number of each word."""
        return {word: i for i, word in enumerate(self.words)}

    @cached_property
    def stationary(self) -> np.ndarray:
        """(S,), the stationary distribution of topics."""
        # πA = π and Σπ = 1 at once; where several solve it, the one of least squares.
        equations = np.vstack([self.transition.T - np.eye(self.topics), np.ones(self.topics)])
        found = np.linalg.lstsq(equations, np.append(np.zeros(self.topics), 1.0), rcond=None)[0].clip(0)
        return np.asarray(found / found.sum())

    def draw(self, rng: np.random.Generator, documents: int, words: int) -> np.ndarray:
        """(documents, words) numbers of words. Raises ValueError: a negative count."""
        if documents < 0 or words < 0:
            raise ValueError(f"{documents} documents of {words} words; neither may be negative")
        topics = np.empty((words, documents), dtype=np.int64)
        reached = np.cumsum(self.transition, -1)[:, :-1]
        at = np.searchsorted(np.cumsum(self.prior)[:-1], rng.random(documents), side="right")
        for k, chance in enumerate(rng.random((words, documents))):
            topics[k] = at
            at = (reached[at] <= chance[:, None]).sum(-1)
        topics, chances = topics.T, rng.random((documents, words))
        numbers = np.empty((documents, words), dtype=np.int64)
        for topic, row in enumerate(self.emission):
            here = topics == topic
            # Only among words that the topic has: a rounded sum never reaches past the last of them.
            own = row.nonzero()[0]
            numbers[here] = own[np.searchsorted(np.cumsum(row[own])[:-1], chances[here], side="right")]
        return numbers

    def text(self, numbers: np.ndarray | Sequence[int]) -> str:
        """The words of these numbers, each with its mark."""
        return "".join([self.words[i] + MARK for i in np.asarray(numbers, dtype=np.int64).tolist()])

    def write(self, rng: np.random.Generator, documents: int, characters: int) -> list[str]:
        """Texts of whole words, each the shortest with at least `characters` characters.

        Raises ValueError: a negative count.
        """
        if characters < 0:
            raise ValueError(f"characters is {characters}; it may not be negative")
        lengths = np.array([len(word) + len(MARK) for word in self.words])
        numbers = self.draw(rng, documents, -(-characters // int(lengths.min())))
        before = lengths[numbers].cumsum(-1) - lengths[numbers]
        return [
            self.text(row[:count])
            for row, count in zip(numbers, (before < characters).sum(-1).tolist(), strict=True)
        ]

    def beliefs(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Beliefs after words: the forward algorithm, batched over documents.

        A word that the language lacks, or that is impossible there, has a log-probability of −inf, and the belief
        stays as if it were absent.

        `numbers` are those of (documents, words) words, or `NO_WORD`.
        Returns: (documents, words + 1, S) b before each word and after the last, and (documents, words) log p(w_k |
        before).
        """
        documents, words = numbers.shape
        emission = np.vstack([self.emission.T, np.zeros(self.topics)])  # NO_WORD is its last row
        beliefs = np.empty((words + 1, documents, self.topics))
        chances = np.empty((words, documents, 1))
        beliefs[0] = self.prior
        for k, column in enumerate(numbers.T):
            joint = beliefs[k] * emission[column]
            chance = joint.sum(-1, keepdims=True)
            chances[k] = chance
            if not chance.all():
                cannot = chance == 0
                joint, chance = np.where(cannot, beliefs[k], joint), np.where(cannot, 1.0, chance)
            np.matmul(joint / chance, self.transition, out=beliefs[k + 1])
        with np.errstate(divide="ignore"):
            return beliefs.transpose(1, 0, 2), np.log(chances[..., 0].T)

    def score(self, texts: Sequence[str]) -> Scored:
        """The log-probability that a text of this language begins like each of these."""
        number = self.number
        pieces = [text.split(MARK) for text in texts]
        rests = [words.pop() for words in pieces]
        numbers = np.full((len(texts), max(map(len, pieces), default=0)), NO_WORD)
        for row, words in zip(numbers, pieces, strict=True):
            row[: len(words)] = [number.get(word, NO_WORD) for word in words]
        beliefs, chances = self.beliefs(numbers)
        chances = np.where(np.arange(numbers.shape[1]) < [[len(words)] for words in pieces], chances, 0.0)
        log_prob = chances.sum(-1)
        wrong: list[str | None] = [
            words[int(row.argmin())] if row.size and row.min() == -np.inf else None
            for words, row in zip(pieces, chances, strict=True)
        ]
        for i, rest in enumerate(rests):
            if rest:
                like_it = self.emission[:, [word.startswith(rest) for word in self.words]].sum(-1)
                with np.errstate(divide="ignore"):
                    log_prob[i] += np.log(beliefs[i, len(pieces[i])] @ like_it)
                if log_prob[i] == -np.inf and wrong[i] is None:
                    wrong[i] = rest
        return Scored(log_prob, tuple(wrong))


@dataclass(frozen=True, eq=False)
class Scored:
    """The log-probabilities of texts.

    Attributes:
        log_prob: (texts,) in nats; −inf for a text that the language cannot have.
        wrong: the first impossible word, without its mark; None where all are possible.
    """

    log_prob: np.ndarray
    wrong: tuple[str | None, ...]


def word_hmm(
    topics: int = 8,
    words: int = 2000,
    *,
    shared: float = 0.2,
    zipf: float = 1.0,
    stay: float = 0.9,
    seed: int = 0,
) -> Language:
    """A language of pseudo-words.

    Each topic has a lexicon of its own: the words that all topics share, and its part of the others. The n-th most
    frequent word of a topic has a probability in proportion to n^(−zipf); which one that is, is drawn for each topic.

    Args:
        topics: S.
        words: W, of all topics together.
        shared: the share of the words that all topics have.
        zipf: 0 is a uniform distribution.
        stay: the probability that the next word is of the same topic; the other topics are equally likely.
    Raises ValueError: a parameter out of range; the message has its name.
    """
    if topics < 1:
        raise ValueError(f"topics is {topics}; it must be at least 1")
    for name, share in (("shared", shared), ("stay", stay)):
        if not 0 <= share <= 1:  # NaN is no share either
            raise ValueError(f"{name} is {share}; it is a share, from 0 to 1")
    if not 0 <= zipf < np.inf:
        raise ValueError(f"zipf is {zipf}; it must be at least 0")
    if seed < 0:
        raise ValueError(f"seed is {seed}; it must be at least 0")
    rng = np.random.default_rng(seed)
    lexicon = pseudo_words(rng, words)
    common = round(shared * words)
    if common == 0 and words < topics:
        raise ValueError(f"words is {words}: {topics} topics that share none need at least one each")
    emission = np.zeros((topics, words))
    for topic, own in enumerate(np.array_split(np.arange(common, words), topics)):
        its = np.append(np.arange(common), own)
        weights = np.arange(1.0, len(its) + 1) ** -zipf
        emission[topic, rng.permutation(its)] = weights / weights.sum()
    elsewhere = (1 - stay) / (topics - 1) if topics > 1 else 0.0
    transition = np.full((topics, topics), elsewhere)
    np.fill_diagonal(transition, stay if topics > 1 else 1.0)
    return Language(lexicon, np.full(topics, 1 / topics), transition, emission)
