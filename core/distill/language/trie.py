"""A trie of the words of a language in tokens, with each topic's probability of the words below a node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .hmm import NO_WORD

ROOT, NO_NODE = 0, -1


@dataclass(frozen=True, eq=False)
class Trie:
    """Nodes are numbered, the root 0. An edge is one token; edges are in the order of node and token.

    Attributes:
        size: V, the number of tokens.
        mass: (nodes, S) probability of the words below a node.
        word: (nodes,) the number of the word that ends there, or `NO_WORD`.
        node, token, child: (edges,) from where, by what, to where.
        depth: tokens of the longest spelling.
    """

    size: int
    mass: np.ndarray
    word: np.ndarray
    node: np.ndarray
    token: np.ndarray
    child: np.ndarray
    depth: int

    @cached_property
    def first(self) -> np.ndarray:
        """(nodes + 1,), where a node's edges begin; they end where those of the next node begin."""
        return np.searchsorted(self.node, np.arange(len(self.mass) + 1))

    @cached_property
    def _keys(self) -> np.ndarray:
        keys: np.ndarray = self.node * self.size + self.token
        return keys

    def step(self, node: np.ndarray, token: np.ndarray) -> np.ndarray:
        """The nodes behind nodes by these tokens, or `NO_NODE`."""
        keys = node * self.size + token
        edge = np.searchsorted(self._keys, keys).clip(max=len(self._keys) - 1)
        return np.where(self._keys[edge] == keys, self.child[edge], NO_NODE)

    @cached_property
    def beginnings(self) -> np.ndarray:
        """(S, V) probability of each token as the first of a word."""
        table = np.zeros((self.mass.shape[1], self.size))
        edges = slice(self.first[ROOT], self.first[ROOT + 1])
        table[:, self.token[edges]] = self.mass[self.child[edges]].T
        return table


def trie(spellings: Sequence[Sequence[int]], emission: np.ndarray, size: int) -> Trie:
    """The trie of words.

    Args:
        spellings: the tokens of each word; none is the beginning of another.
        emission: (S, W) probabilities of the words.
    """
    edges: dict[tuple[int, int], int] = {}
    word, passes = [NO_WORD], [(ROOT, i) for i in range(len(spellings))]
    for i, spelling in enumerate(spellings):
        at = ROOT
        for token in spelling:
            behind = edges.setdefault((at, token), len(word))
            if behind == len(word):
                word.append(NO_WORD)
            at = behind
            passes.append((at, i))
        word[at] = i
    through, which = np.array(passes).T
    mass = np.stack([np.bincount(through, topic[which], len(word)) for topic in emission], 1)
    node, token = np.array(sorted(edges)).T
    child = np.array([edges[edge] for edge in sorted(edges)])
    return Trie(size, mass, np.array(word), node, token, child, max(map(len, spellings)))
