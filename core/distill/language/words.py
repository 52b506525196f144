"""Pseudo-words: one to three syllables of a consonant and a vowel, such as `ka`, `tolu`, `minape`."""

from __future__ import annotations

from itertools import product

import numpy as np

CONSONANTS, VOWELS = "bdfgklmnprst", "aeiou"
SYLLABLES = tuple(map("".join, product(CONSONANTS, VOWELS)))
SHARES = 0.1, 0.5, 0.4
"""Shares of words with one, two and three syllables; where the short ones run out, longer ones take their place."""

MOST = sum(len(SYLLABLES) ** length for length in range(1, len(SHARES) + 1))
"""The number of possible words."""


def pseudo_words(rng: np.random.Generator, count: int) -> tuple[str, ...]:
    """Different words in random order. Raises ValueError: more words than there are, or none."""
    if not 1 <= count <= MOST:
        raise ValueError(
            f"words is {count}; there are between 1 and {MOST:,} of at most {len(SHARES)} syllables"
        )
    words: list[str] = []
    for length, reached in enumerate(np.cumsum(SHARES), 1):
        missing = min(round(count * float(reached)) - len(words), len(SYLLABLES) ** length)
        numbers = rng.choice(len(SYLLABLES) ** length, missing, replace=False)
        syllables = np.stack(np.unravel_index(numbers, [len(SYLLABLES)] * length), 1)
        words += ["".join(SYLLABLES[i] for i in word) for word in syllables.tolist()]
    return tuple(words[i] for i in rng.permutation(count).tolist())
