"""A language small enough to be written out: every text of it with its probability, and so every exact model of it."""

import math
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import product

import pytest
import torch

from lab.core.distill.losses.cross_tokenizer import Tokens, tokens


@dataclass
class View:
    """An exact model of a language in one tokenizer: next-token distributions by adding up texts."""

    pieces: tuple[bytes, ...]
    merges: tuple[tuple[bytes, bytes], ...]
    texts: dict[bytes, float]
    next: dict = field(default_factory=lambda: defaultdict(lambda: defaultdict(float)))

    def __post_init__(self):
        for text, p in self.texts.items():
            ids = self.encode(text)
            for at, i in enumerate(ids):
                self.next[ids[:at]][i] += p

    def encode(self, text):
        """Byte-pair encoding, merges in their order; none of them crosses words."""
        word = [text[i : i + 1] for i in range(len(text))]
        for left, right in self.merges:
            at = 0
            while at < len(word) - 1:
                if (word[at], word[at + 1]) == (left, right):
                    word[at : at + 2] = [left + right]
                at += 1
        return tuple(self.pieces.index(piece) for piece in word)

    def logp(self, beginning):
        """(V,), log p of what follows some ids: −∞ for what cannot, and for all behind what no text begins with."""
        following = self.next[tuple(beginning)]
        p = torch.zeros(len(self.pieces), dtype=torch.float64)
        for i, mass in following.items():
            p[i] = mass
        return (p / p.sum().clamp(min=1e-300)).log()

    def tokens(self, text) -> Tokens:
        return tokens(self.encode(text), self.pieces)

    def logits(self, text, more=False):
        """(1, tokens, V), and what follows the text with `more`."""
        ids = self.encode(text)
        return torch.stack([self.logp(ids[:at]) for at in range(len(ids) + more)]).unsqueeze(0)


def language(words, length=3):
    """All texts of some words, the topic of a word depending on that of the word before."""
    stay = 0.8
    by_topic = [
        [(1 + i) / sum(range(1, len(words) + 1)) for i in range(len(words))],
        [2.0**-i / sum(2.0**-j for j in range(len(words))) for i in range(len(words))],
    ]
    texts = {}
    for chosen in product(range(len(words)), repeat=length):
        state = [0.5, 0.5]
        for w in chosen:
            state = [by_topic[z][w] * s for z, s in enumerate(state)]
            state = [stay * state[z] + (1 - stay) * state[1 - z] for z in (0, 1)]
        texts[b"".join(words[w] for w in chosen)] = sum(state)
    assert math.isclose(sum(texts.values()), 1)
    return texts


def views(words, merges):
    texts = language(words)
    letters = tuple(sorted({bytes([b]) for text in texts for b in text}))
    longer = tuple(dict.fromkeys(left + right for left, right in merges))
    return View(letters, (), texts), View(letters + longer, tuple(merges), texts)


@pytest.fixture(scope="session")
def ending():
    """Character and subword views of a language whose words end with a mark, so that they say when they are over."""
    words = [b"abc_", b"abd_", b"ab_", b"b_", b"cab_", b"abcab_", b"bdb_"]
    merges = [
        (b"a", b"b"),
        (b"b", b"d"),
        (b"c", b"_"),
        (b"ab", b"c"),
        (b"ab", b"_"),
        (b"b", b"_"),
        (b"c", b"ab"),
    ]
    return views(words, merges)


@pytest.fixture(scope="session")
def beginning():
    """The same for words that begin with a space; some are the beginnings of others."""
    words = [b" ab", b" abc", b" b", b" bd", b" a"]
    merges = [(b"a", b"b"), (b" ", b"ab"), (b" ", b"a"), (b" ab", b"c"), (b" ", b"b")]
    return views(words, merges)


@pytest.fixture(scope="session")
def whole():
    """Every beginning of a word is a token, and so is the word: tokens are words."""
    words = [b"ab_", b"abc_", b"b_", b"ba_", b"cab_"]
    merges = dict.fromkeys((word[:n], word[n : n + 1]) for word in words for n in range(1, len(word)))
    return views(words, list(merges))
