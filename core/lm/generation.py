"""Sampling completions: each prompt is read once for its whole group, and finished rows drop out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from .cache import Cache
from .decoder import sampled_compiled, weights_for_decoding
from .language_model import LanguageModel
from .not_finite import NotFinite
from .parallel import cores, each
from .precision import wide

COMPACT_BELOW = 0.5
"""Rows that are finished are dropped once so few are left: dropping copies the cache, going on computes in vain."""


@dataclass(frozen=True)
class Completions:
    """What was sampled, prompt by prompt, the completions of a prompt next to each other.

    Attributes:
        ids: (completions, tokens), padded behind the end.
        lengths: (completions,), the end-of-sequence token included where there is one.
        log_probs: (completions, tokens) of the tokens under the distribution that they were drawn from; 0 in padding.
        entropies: (completions, tokens) of these distributions, in nats; 0 in padding.
        finished: (completions,), whether it ended by itself; the others were cut off.
    """

    ids: Tensor
    lengths: Tensor
    log_probs: Tensor
    entropies: Tensor
    finished: Tensor

    @property
    def mask(self) -> Tensor:
        """(completions, tokens), True for tokens and False for padding."""
        return torch.arange(self.ids.shape[1], device=self.ids.device) < self.lengths[:, None]


def generate(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    *,
    num_generations: int = 1,
    max_new_tokens: int,
    eos: int | Sequence[int],
    pad: int,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> Completions:
    """Continue each prompt `num_generations` times; where there are several cores, each has its share of the prompts.

    Args:
        prompts: token ids, of any lengths.
        eos: ends a completion and belongs to it; one token, or any of several. Another one than `pad`, or its end would
            never be trained.
        temperature: 0 takes the likeliest token.
        generator: of the draws; the same one gives the same completions on as many cores.
    Raises:
        ValueError: an empty prompt, no prompts, or a prompt with which nothing more fits into the context.
        NotFinite: the model gives no probabilities.
    """
    if not prompts or not all(prompts):
        raise ValueError("every prompt needs at least one token" if prompts else "there are no prompts")
    longest = max(map(len, prompts))
    if longest + max_new_tokens > model.config.context:
        raise ValueError(
            f"a prompt of {longest} tokens and {max_new_tokens} new ones do not fit into a context of "
            f"{model.config.context}"
        )
    device = model.embedding.weight.device
    ends = list(eos) if isinstance(eos, Sequence) else [eos]
    shares = [list(prompts[part]) for part in _shares(len(prompts), cores(device))]
    draws = (
        [generator] if len(shares) == 1 else [_another(generator or torch.default_generator) for _ in shares]
    )
    weights = weights_for_decoding(model)

    @torch.inference_mode()
    def of_share(number: int) -> Completions:
        cache, logits = read_prompts(model, shares[number], pad)
        rest = (num_generations, max_new_tokens, ends, pad, temperature, draws[number])
        if weights is None:
            made = _sampled(model, cache, logits, *rest)
        else:
            made = sampled_compiled(weights, cache, logits, *rest, COMPACT_BELOW)
        ids, log_probs, entropies, lengths, ended = made
        if not log_probs.isfinite().all():
            raise NotFinite("the probabilities of the next token are not finite")
        width = int(lengths.max())
        return Completions(ids[:, :width], lengths, log_probs[:, :width], entropies[:, :width], ended)

    return together(each(of_share, range(len(shares)), device), pad)


def read_prompts(model: LanguageModel, prompts: Sequence[Sequence[int]], pad: int) -> tuple[Cache, Tensor]:
    """The cache of prompts, padded on the left, and the logits of the token that follows each, (prompts, vocabulary)."""
    device, longest = model.embedding.weight.device, max(map(len, prompts))
    padded = torch.tensor([[pad] * (longest - len(p)) + list(p) for p in prompts], device=device)
    starts = torch.tensor([longest - len(p) for p in prompts], device=device)
    cache = model.empty_cache(len(prompts), longest, starts if bool(starts.any()) else None)
    return cache, model.logits(model.hidden(padded, cache)[:, -1])


def _sampled(
    model: LanguageModel,
    cache: Cache,
    logits: Tensor,
    num_generations: int,
    max_new_tokens: int,
    eos: list[int],
    pad: int,
    temperature: float,
    generator: torch.Generator | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Ids, log-probs, entropies, lengths and whether it ended, of the completions of what `read_prompts` has read."""
    device = logits.device
    cache = cache.repeated(num_generations, cache.length + max_new_tokens)
    logits = logits.repeat_interleave(num_generations, 0)
    rows = logits.shape[0]
    ids = torch.full((rows, max_new_tokens), pad, device=device)
    log_probs, entropies = logits.new_zeros(2, rows, max_new_tokens)
    alive = torch.arange(rows, device=device)  # the rows that `logits` and the cache are of
    ended = torch.zeros(rows, dtype=torch.bool, device=device)
    lengths = torch.zeros(rows, dtype=torch.long, device=device)
    ends = torch.tensor(eos, device=device)
    for step in range(max_new_tokens):
        token, log_prob, entropy = draw(logits, temperature, generator)
        going = ~ended[alive]
        ids[alive, step] = torch.where(going, token, pad)
        log_probs[alive, step] = torch.where(going, log_prob, 0.0)
        entropies[alive, step] = torch.where(going, entropy, 0.0)
        lengths[alive] += going
        ended[alive] |= (token[:, None] == ends).any(1)
        if step + 1 == max_new_tokens:
            break
        left = int((~ended[alive]).sum())
        if left == 0:
            break
        if left < COMPACT_BELOW * len(alive):
            still = (~ended[alive]).nonzero().squeeze(1)
            alive, cache, token = alive[still], cache.kept(still), token[still]
        logits = model.logits(model.hidden(token[:, None], cache)[:, -1])
    return ids, log_probs, entropies, lengths, ended


def _shares(count: int, parts: int) -> list[slice]:
    """0 to `count` in at most so many slices of about equal length, none of them empty."""
    cuts = [count * i // min(parts, count) for i in range(min(parts, count) + 1)]
    return [slice(first, last) for first, last in pairwise(cuts)]


def _another(generator: torch.Generator) -> torch.Generator:
    device = generator.device
    seed = torch.randint(2**62, (), generator=generator, device=device)
    return torch.Generator(device).manual_seed(int(seed))


def together(parts: Sequence[Completions], pad: int) -> Completions:
    """The completions of several calls as those of one."""
    width = max(part.ids.shape[1] for part in parts)

    def of(name: str, filling: float = 0) -> Tensor:
        tensors = (getattr(part, name) for part in parts)
        return torch.cat(
            [F.pad(x, (0, width - x.shape[1]), value=filling) if x.dim() == 2 else x for x in tensors]
        )

    return Completions(of("ids", pad), of("lengths"), of("log_probs"), of("entropies"), of("finished"))


def draw(
    logits: Tensor, temperature: float, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """One token for each row of logits (rows, vocabulary), its log-probability, and the entropy of the distribution.

    With temperature 0 the likeliest, with the log-probability it has at temperature 1.
    """
    logits = wide(logits)
    if temperature == 0:
        log_p = torch.log_softmax(logits, -1)
        token = log_p.argmax(-1)
    else:
        log_p = torch.log_softmax(logits / temperature, -1)
        # The largest of log p + Gumbel noise is a draw from p, and cheaper here than torch.multinomial.
        noise = torch.empty_like(log_p).exponential_(generator=generator).log_()
        token = (log_p - noise).argmax(-1)
    return token, log_p.gather(-1, token[:, None]).squeeze(-1), -(log_p.exp() * log_p).sum(-1)
