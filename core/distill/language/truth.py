"""The exact distribution of the next token, in any view of the language.

At the start of a word it follows from the belief over topics, b; inside a word, from the words that begin with its
tokens so far, which are below one node of a trie:

    p(token | tokens so far) = b · mass[child] / b · mass[node]

Beliefs are computed word by word for all documents at once; each token is then one look-up. Everything is float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from .hmm import MARK, NO_WORD, Language
from .trie import NO_NODE, ROOT, Trie, trie
from .views import View


@dataclass(frozen=True, eq=False)
class Truth:
    """A language in the tokens of one view. Raises ValueError: the view is of other words."""

    language: Language
    view: View

    def __post_init__(self) -> None:
        if self.view.words != self.language.words:
            raise ValueError(f"the view {self.view.name} is of another language: its words are others")

    @cached_property
    def trie(self) -> Trie:
        return trie(self.view.spellings, self.language.emission, self.view.size)

    def read(self, ids: Tensor | np.ndarray) -> Reading:
        """The beliefs and trie nodes at each token of these documents.

        An impossible token has probability 0, and no distribution is defined after it until the next mark. Such a
        word does not change the belief; the words after it are predicted as usual.

        ids are (batch, tokens), `<eos>` first in each row, padded behind the end.
        Raises ValueError: a row that does not begin with `<eos>`, or an id that no token has.
        """
        ids = np.asarray(ids.cpu() if isinstance(ids, Tensor) else ids)
        real = self._checked(ids)
        node, word = self._walked(ids, real)
        closes = self.view.closing[ids] & real
        # The number of complete words after a token, the index of the belief that predicts the next token.
        done = closes.cumsum(-1)
        numbers = np.full((len(ids), int(done[:, -1].max(initial=0))), NO_WORD)
        row, column = closes.nonzero()
        numbers[row, done[row, column] - 1] = word[row, column]
        beliefs, chances = self.language.beliefs(numbers)
        return Reading(self, ids, real, closes, done, node, beliefs, chances)

    def _checked(self, ids: np.ndarray) -> np.ndarray:
        """(batch, tokens), True where there is no padding."""
        view = self.view
        if ids.ndim != 2 or ids.shape[1] == 0:
            raise ValueError(
                f"ids have the shape {ids.shape}; they must be (batch, tokens), at least one token each"
            )
        if ids.size and (ids.min() < 0 or ids.max() >= view.size):
            raise ValueError(
                f"ids are from {ids.min()} to {ids.max()}; the view {view.name} has {view.size} tokens"
            )
        for row in (ids[:, 0] != view.eos).nonzero()[0][:1]:
            raise ValueError(
                f"row {row} begins with {view.tokens[ids[row, 0]]!r}; every document begins with <eos>"
            )
        # A model may write `<pad>`: with tokens behind it, it counts as an impossible token.
        real: np.ndarray = (ids != view.pad)[:, ::-1].cumsum(-1)[:, ::-1] > 0
        return real

    def _walked(self, ids: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(batch, tokens) the node after each token, and at the end of a word its number.

        All words take their first token at once, then those that go on their second, and so on.
        """
        trie, width = self.trie, ids.shape[1]
        flat, going = ids.ravel(), real.ravel()
        closes = self.view.closing[flat]
        closes |= np.arange(ids.size) % width == 0
        node = np.where(closes & going, ROOT, NO_NODE)
        word = np.full(ids.size, NO_WORD)
        here, at = closes.nonzero()[0], np.full(closes.sum(), ROOT)
        for _ in range(trie.depth):
            inside = (here + 1) % width != 0
            here, at = here[inside] + 1, at[inside]
            at = trie.step(at, flat[here])
            word[here] = np.where(at == NO_NODE, NO_WORD, trie.word[at])
            on = going[here] & ~closes[here] & (at != NO_NODE)
            here, at = here[on], at[on]
            node[here] = at
        return node.reshape(ids.shape), word.reshape(ids.shape)


@dataclass(frozen=True, eq=False)
class Reading:
    """Documents, and the beliefs and trie nodes that give their distributions.

    Attributes:
        ids: (batch, tokens).
        real: (batch, tokens), False in padding.
        closes: (batch, tokens), whether a token ends a word.
        done: (batch, tokens) words that are complete after a token.
        node: (batch, tokens) in the trie after a token, or `NO_NODE`.
        beliefs: (batch, words + 1, S) over the topic of the next word.
        chances: (batch, words) log-probability of each word.
    """

    truth: Truth
    ids: np.ndarray
    real: np.ndarray
    closes: np.ndarray
    done: np.ndarray
    node: np.ndarray
    beliefs: np.ndarray
    chances: np.ndarray

    @cached_property
    def _mass(self) -> np.ndarray:
        """(batch, tokens) b · mass[node]: 1 between words, 0 where nothing can follow."""
        found: np.ndarray = (self.node == ROOT).astype(np.float64)
        row, column = (self.node > ROOT).nonzero()
        mass = self.truth.trie.mass[self.node[row, column]]
        found[row, column] = np.einsum("ns,ns->n", self.beliefs[row, self.done[row, column]], mass)
        return found

    @property
    def possible(self) -> Tensor:
        """(batch, tokens), whether the distribution of what follows a token is defined."""
        return torch.from_numpy(self._mass > 0)

    @cached_property
    def log_probs(self) -> Tensor:
        """(batch, tokens) log-probability of each token, −inf for an impossible one.

        0 for `<eos>` at the beginning, for padding, and for tokens whose distribution is not defined.
        """
        with np.errstate(divide="ignore"):
            mass = np.log(self._mass)
        after = mass.copy()
        row, column = self.closes.nonzero()
        after[row, column] = self.chances[row, self.done[row, column] - 1]
        found = np.zeros(self.ids.shape)
        row, column = ((self._mass[:, :-1] > 0) & self.real[:, 1:]).nonzero()
        found[row, column + 1] = after[row, column + 1] - mass[row, column]
        return torch.from_numpy(found)

    @property
    def totals(self) -> Tensor:
        """(batch,) log-probability that a text begins like each document."""
        return self.log_probs.sum(-1)

    def impossible(self, row: int) -> str | None:
        """The first impossible word of a document, without its mark; None where all are possible."""
        wrong = self.log_probs[row].isneginf().nonzero()
        if not len(wrong):
            return None
        at, closes = int(wrong[0]), self.closes[row]
        first = 1 + max((i for i in range(at) if closes[i]), default=0)
        last = next((i for i in range(at, len(closes)) if closes[i]), len(closes) - 1)
        tokens = self.truth.view.tokens
        return "".join(tokens[i] for i in self.ids[row, first : last + 1].tolist()).removesuffix(MARK)

    def dense(self, rows: slice = slice(None)) -> Tensor:
        """(rows, tokens, V) log-probabilities of what follows each token, −inf for what cannot.

        Uniform where it is undefined (`possible`), and behind the end: finite there, so that it can be masked by 0.

        `rows` are of the batch; a block at a time where all together are too many.
        """
        numbers = np.arange(len(self.ids))[rows]
        width = self.ids.shape[1]
        p = self.probabilities(np.repeat(numbers, width), np.tile(np.arange(width), len(numbers)))
        with np.errstate(divide="ignore"):
            return torch.from_numpy(np.log(p, out=p).reshape(len(numbers), width, self.truth.trie.size))

    def probabilities(self, row: np.ndarray, column: np.ndarray) -> np.ndarray:
        """(positions, V) probabilities of what follows the tokens at these positions; uniform where none is defined."""
        trie = self.truth.trie
        node, mass = self.node[row, column], self._mass[row, column]
        beliefs = self.beliefs[row, self.done[row, column]]
        p = np.zeros((len(row), trie.size))
        p[mass == 0] = 1 / trie.size
        between = node == ROOT
        p[between] = beliefs[between] @ trie.beginnings
        inside = ((node > ROOT) & (mass > 0)).nonzero()[0]
        # Each position as often as its node has edges, with the numbers of these edges.
        first, edges = trie.first[node[inside]], np.diff(trie.first)[node[inside]]
        position = np.repeat(inside, edges)
        edge = np.arange(len(position)) + np.repeat(first - (edges.cumsum() - edges), edges)
        joint = np.einsum("ns,ns->n", beliefs[position], trie.mass[trie.child[edge]])
        p[position, trie.token[edge]] = joint / mass[position]
        return p
