"""Every completion of a prompt that is likely enough, by following the model's next tokens from the root."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..lm.generation import read_prompts
from ..lm.language_model import LanguageModel
from ..lm.parallel import each
from ..lm.precision import wide

AT_ONCE = 8
"""Prompts whose trees grow together: more share an operation, but their keys and values no longer fit into the cache."""


class TooLarge(Exception):
    """A tree has more prefixes above the threshold than it may have.

    Attributes:
        prompt: its number.
        prefixes: met by then. tokens: of the longest of these.
    """

    def __init__(self, prompt: int, prefixes: int, tokens: int) -> None:
        super().__init__(prompt, prefixes, tokens)
        self.prompt, self.prefixes, self.tokens = prompt, prefixes, tokens


@dataclass(frozen=True)
class Tree:
    """The completions of some prompts of which every prefix is at least as likely as the threshold.

    Attributes:
        prompts: (leaves,), the number of the prompt that each completes; in order.
        ids: (leaves, tokens), padded behind the end.
        lengths: (leaves,), the end-of-sequence token included where there is one; the others are cut off.
        log_probs: (leaves,), of the completion, in nats, float64.
        dropped: (prompts,), the probability of all other completions together.
        nodes: (prompts,), the prefixes whose next token was computed.
    """

    prompts: np.ndarray
    ids: np.ndarray
    lengths: np.ndarray
    log_probs: np.ndarray
    dropped: np.ndarray
    nodes: np.ndarray


def enumerate_completions(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    *,
    threshold: float,
    most_prefixes: int,
    max_new_tokens: int,
    eos: Sequence[int],
    pad: int,
) -> Tree:
    """The tree of each prompt down to a probability; what falls below is counted and not followed.

    Args:
        prompts: token ids, of any lengths.
        threshold: a prefix less likely than this is dropped with all that begins with it. A completion is never likelier
            than its prefix, so all dropped ones are below it too.
        most_prefixes: of one prompt.
    Raises TooLarge: a prompt has more of them.
    """
    starts = range(0, len(prompts), AT_ONCE)
    ends = torch.tensor(eos, device=model.embedding.weight.device)

    @torch.inference_mode()
    def of_some(start: int) -> Tree:
        some = prompts[start : start + AT_ONCE]
        return _grow(model, some, start, math.log(threshold), most_prefixes, max_new_tokens, ends, pad)

    parts = each(of_some, list(starts), ends.device)
    width = max(part.ids.shape[1] for part in parts)
    ids = [np.pad(part.ids, ((0, 0), (0, width - part.ids.shape[1])), constant_values=pad) for part in parts]
    return Tree(
        np.concatenate([part.prompts for part in parts]),
        np.concatenate(ids),
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("lengths", "log_probs", "dropped", "nodes")
        ),
    )


def _grow(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    first: int,
    least: float,
    most_prefixes: int,
    max_new_tokens: int,
    ends: Tensor,
    pad: int,
) -> Tree:
    """The trees of neighbouring prompts, the first of which has this number, level by level."""
    device, count = ends.device, len(prompts)
    cache, logits = read_prompts(model, prompts, pad)
    cache = cache.repeated(1, cache.length + max_new_tokens)
    of = torch.arange(count, device=device)  # the prompt of each prefix of this level
    log_p = torch.zeros(count, dtype=torch.float64, device=device)
    ids = torch.full((count, max_new_tokens), pad, device=device)
    dropped = torch.zeros(count, dtype=torch.float64, device=device)
    nodes = torch.zeros(count, dtype=torch.int64, device=device)
    leaves: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    for length in range(1, max_new_tokens + 1):
        nodes += torch.bincount(of, minlength=count)
        if int(nodes.max()) > most_prefixes:
            raise TooLarge(first + int(nodes.argmax()), int(nodes.max()), length - 1)
        children = log_p[:, None] + torch.log_softmax(wide(logits).double(), -1)
        kept = children >= least
        dropped.index_add_(0, of, (children.exp() * ~kept).sum(1))
        parent, token = kept.nonzero(as_tuple=True)
        log_p, of, ids = children[parent, token], of[parent], ids[parent]
        ids[:, length - 1] = token
        ended = (token[:, None] == ends).any(1) | (length == max_new_tokens)
        leaves.append((of[ended], ids[ended], torch.full_like(of[ended], length), log_p[ended]))
        going = (~ended).nonzero().squeeze(1)
        if not len(going):
            break
        log_p, of, ids, cache = log_p[going], of[going], ids[going], cache.kept(parent[going])
        logits = model.logits(model.hidden(token[going, None], cache)[:, -1])
    of, ids, lengths, log_p = (torch.cat(part) for part in zip(*leaves, strict=True))
    order = torch.argsort(of, stable=True)
    return Tree(
        (of[order] + first).cpu().numpy(),
        ids[order, : int(lengths.max()) if len(lengths) else 0].cpu().numpy(),
        *(x.cpu().numpy() for x in (lengths[order], log_p[order], dropped, nodes)),
    )
