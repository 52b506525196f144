"""Teacher log-probabilities after prefixes absent from the text, batched.

A prefix that ends inside a word shares all words before it with the text's own tokens. Keys and values of these are
computed once for each document; a prefix then costs its own last tokens, one or two, and prefixes that leave their
documents at the same position go through the model together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from ...lm.cache import Cache
from .tokenizers import Tokenizer

AT_ONCE = 512
"""Prefixes that go through the model at once."""

Prefix = tuple[int, ...]


@torch.inference_mode()
def prefix_log_probs(model: Any, rows: Tensor, prefixes: list[Prefix]) -> tuple[Tensor, int]:
    """Log-probabilities of the token after each prefix, and how many tokens went through the model for them.

    Args:
        model: the teacher, ours or one of `lab.core.lm.hugging_face`.
        rows: (documents, 1 + tokens) of the teacher's tokens, its tokenizer's `start` first; padding does no harm.
        prefixes: without `start`.
    Returns: (prefixes, V) in float32.
    """
    cache = model.empty_cache(len(rows), rows.shape[1])
    own = model.logits(model.hidden(rows, cache)).float().log_softmax(-1).cpu()
    positions: dict[Prefix, tuple[int, int]] = {}
    for row, ids in enumerate(rows[:, 1:].tolist()):
        for n in range(len(ids) + 1):
            positions.setdefault(tuple(ids[:n]), (row, n))
    found = own.new_empty(len(prefixes), own.shape[-1])
    groups: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for number, prefix in enumerate(prefixes):
        n = len(prefix)
        while prefix[:n] not in positions:  # the empty prefix is there
            n -= 1
        row, _ = positions[prefix[:n]]
        if n == len(prefix):
            found[number] = own[row, n]
        else:
            groups[n, len(prefix) - n].append((number, row))
    ran = rows.numel()
    for (n, more), members in groups.items():
        filled = n + 1  # with `start`
        for first in range(0, len(members), AT_ONCE):
            some = members[first : first + AT_ONCE]
            numbers, of = (list(column) for column in zip(*some, strict=True))
            prefix_cache = _extended(cache, torch.tensor(of, device=rows.device), filled, more)
            ids = torch.tensor([prefixes[number][n:] for number in numbers], device=rows.device)
            last = model.hidden(ids, prefix_cache)[:, -1]
            found[numbers] = model.logits(last).float().log_softmax(-1).cpu()
            ran += ids.numel()
    return found, ran


def encoder(tokenizer: Tokenizer) -> Callable[[bytes], Iterable[int] | None]:
    """The tokenizer as `exact_marginal` calls it: bytes to ids, None for an incomplete character.

    Where tokens never cross words, prefixes are tokenised word by word, each word once.
    """
    if not tokenizer.by_words:

        def whole(piece: bytes) -> list[int] | None:
            try:
                return tokenizer.encode(piece.decode())
            except UnicodeDecodeError:
                return None

        return whole
    words: dict[str, tuple[int, ...]] = {}
    before: dict[str, tuple[int, ...]] = {"": ()}

    def known(word: str) -> tuple[int, ...]:
        if word not in words:
            words[word] = tuple(tokenizer.encode(word))
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


def _extended(cache: Cache, rows: Tensor, filled: int, more: int) -> Cache:
    """These rows of a cache up to column `filled`, with room for `more` columns."""
    layers, _, heads, _, width = cache.keys.shape
    wider = []
    for old in (cache.keys, cache.values):
        new = old.new_empty(layers, len(rows), heads, filled + more, width)
        new[..., :filled, :] = old[:, rows, :, :filled]
        wider.append(new)
    return Cache(wider[0], wider[1], None, filled)
