"""Byte-pair encoding: merges are learnt by the package tokenizers, and applied here to one word at a time.

A merge never crosses a word, so that a word has one spelling in any context.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from .hmm import MARK

Merges = tuple[tuple[str, str], ...]
"""Pairs of pieces that become one, in the order in which they are applied."""


def learnt(texts: Sequence[str], alphabet: str, size: int) -> tuple[tuple[str, ...], Merges]:
    """Pieces, those of one character first, and the merges that make the others.

    Args:
        alphabet: all characters there are, the mark among them.
        size: of the pieces.
    Raises ValueError: fewer pieces than characters, or more than the words in these texts have.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    if size < len(alphabet):
        raise ValueError(f"{size} pieces cannot hold an alphabet of {len(alphabet)}")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Split(MARK, "merged_with_previous")
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=list(alphabet), show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    pieces = sorted(model["vocab"], key=model["vocab"].__getitem__)
    if len(pieces) < size:
        raise ValueError(f"the words of the text have only {len(pieces)} pieces, not {size}")
    return tuple(pieces), tuple((left, right) for left, right in model["merges"])


def merged(word: str, rank: Mapping[tuple[str, str], int]) -> list[str]:
    """The pieces of a word: repeatedly the pair with the lowest rank is merged, the leftmost of equals."""
    pieces = list(word)
    while len(pieces) > 1:
        ranks = [rank.get(pair, len(rank)) for pair in zip(pieces, pieces[1:], strict=False)]
        first = min(ranks)
        if first == len(rank):
            break
        at = ranks.index(first)
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
    return pieces
