"""Two languages: one so small that all its texts can be written down, and one of the usual kind."""

from itertools import product

import numpy as np
import pytest

from lab.core.distill.language import Language, Truth, view, word_hmm


@pytest.fixture(scope="session")
def tiny():
    """Three topics, five words; no symmetry, and a word that two topics lack."""
    rng = np.random.default_rng(0)
    prior, transition, emission = (rng.dirichlet(np.ones(n), m) for n, m in ((3, 1), (3, 3), (5, 3)))
    emission[:2, 4] = 0
    emission /= emission.sum(-1, keepdims=True)
    return Language(("ka", "kato", "to", "tok", "katoka"), prior[0], transition, emission)


@pytest.fixture(scope="session")
def tiny_texts(tiny):
    """Every text of three words with its probability, by a sum over all paths of topics."""
    texts = {}
    for words in product(range(5), repeat=3):
        total = 0.0
        for path in product(range(3), repeat=3):
            p = tiny.prior[path[0]]
            for z, following in zip(path, path[1:], strict=False):
                p *= tiny.transition[z, following]
            for z, word in zip(path, words, strict=True):
                p *= tiny.emission[z, word]
            total += p
        texts["".join(tiny.words[i] + " " for i in words)] = total
    return texts


@pytest.fixture(scope="session")
def language():
    return word_hmm(topics=4, words=150, seed=3)


@pytest.fixture(scope="session")
def truths(language):
    return {name: Truth(language, view(language, name, size=90)) for name in ("char", "bpe", "word")}


@pytest.fixture(scope="session")
def texts(language):
    """Documents of different lengths, an empty one among them."""
    rng = np.random.default_rng(5)
    return [language.write(rng, 1, characters)[0] for characters in (300, 40, 0, 1, 127, 700)]
