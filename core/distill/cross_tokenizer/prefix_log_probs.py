"""What a teacher says behind beginnings of a text that the text itself does not have, in few and large batches.

Tokens that cover a place inside a word share all words before it with the text's own. Keys and values of these are
computed once for each document; a beginning then costs its own last tokens, one or two, and beginnings that leave their
document at the same place go through the model together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from ...lm.cache import Cache
from .tokenizers import Side

AT_ONCE = 512
"""So many beginnings go through the model at once."""

Beginning = tuple[int, ...]


@torch.inference_mode()
def answers(model: Any, side: Side, rows: Tensor, beginnings: list[Beginning]) -> tuple[Tensor, int]:
    """Log-probabilities behind each beginning, and how many tokens went through the model for them.

    Args:
        model: the teacher, ours or one of `lab.core.lm.hugging_face`.
        rows: (documents, 1 + tokens) of the teacher's own tokens, `side.start` first; padding does no harm.
        beginnings: without `start`.

    Returns:
        (beginnings, V) in float32.
    """
    cache = model.empty_cache(len(rows), rows.shape[1])
    own = model.logits(model.hidden(rows, cache)).float().log_softmax(-1).cpu()
    places: dict[Beginning, tuple[int, int]] = {}
    for row, ids in enumerate(rows[:, 1:].tolist()):
        for n in range(len(ids) + 1):
            places.setdefault(tuple(ids[:n]), (row, n))
    found = own.new_empty(len(beginnings), own.shape[-1])
    groups: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for number, beginning in enumerate(beginnings):
        n = len(beginning)
        while beginning[:n] not in places:  # () is
            n -= 1
        row, _ = places[beginning[:n]]
        if n == len(beginning):
            found[number] = own[row, n]
        else:
            groups[n, len(beginning) - n].append((number, row))
    ran = rows.numel()
    for (n, more), members in groups.items():
        filled = n + 1  # with `start`
        for first in range(0, len(members), AT_ONCE):
            some = members[first : first + AT_ONCE]
            numbers, of = (list(column) for column in zip(*some, strict=True))
            begun = _room(cache, torch.tensor(of, device=rows.device), filled, more)
            ids = torch.tensor([beginnings[number][n:] for number in numbers], device=rows.device)
            last = model.hidden(ids, begun)[:, -1]
            found[numbers] = model.logits(last).float().log_softmax(-1).cpu()
            ran += ids.numel()
    return found, ran


def encoder(side: Side) -> Callable[[bytes], Iterable[int] | None]:
    """The tokenizer as `exact_marginal` asks for it: bytes to ids, None for half a character.

    Where tokens never cross words, all that a text begins with is tokenised word by word, each word once.
    """
    if not side.by_words:

        def whole(piece: bytes) -> list[int] | None:
            try:
                return side.encode(piece.decode())
            except UnicodeDecodeError:
                return None

        return whole
    words: dict[str, tuple[int, ...]] = {}
    before: dict[str, tuple[int, ...]] = {"": ()}

    def known(word: str) -> tuple[int, ...]:
        if word not in words:
            words[word] = tuple(side.encode(word))
        return words[word]

    def encode(piece: bytes) -> tuple[int, ...]:
        text = piece.decode()
        cut = text.rfind(" ") + 1
        done = text[:cut]
        if done not in before:
            previous = done.rfind(" ", 0, cut - 1) + 1
            before[done] = (*encode(done[:previous].encode()), *known(done[previous:]))
        return (*before[done], *known(text[cut:])) if cut < len(text) else before[done]

    return encode


def _room(cache: Cache, rows: Tensor, filled: int, more: int) -> Cache:
    """These rows of a cache up to a column, with room for more."""
    layers, _, heads, _, width = cache.keys.shape
    wider = []
    for old in (cache.keys, cache.values):
        new = old.new_empty(layers, len(rows), heads, filled + more, width)
        new[..., :filled, :] = old[:, rows, :, :filled]
        wider.append(new)
    return Cache(wider[0], wider[1], None, filled)
