"""Metropolis-Hastings over completions: Karan & Du, "Reasoning with Sampling" (arXiv:2510.14901), Algorithm 1.

    for each block: go on by a block with q; then N times
        m ← a place of x, uniform;  x' ← x before m, then new tokens from q up to the end of the block
        x ← x' with chance min(1, p(x')^α q(x|x') / (p(x)^α q(x'|x)))

The paper's sequences all have the same length. Ours end with a token: m is one of the |x| places, so that its chance is in
the ratio, 1/|x'| against 1/|x|, and p^α is what the last block's chain leaves as it is.

The authors' code differs: an answer that has ended when its block is done is final. Others go on and may still become short,
so that short answers are favoured, at α = 1 too. That is `early`. (A proposal there is also no longer than the answer that
it may replace, so that a short one never grows; here it may reach the end of the block, as the algorithm says.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..lm.generation import generate
from ..lm.language_model import LanguageModel
from ..lm.scoring import joined, log_probs


@dataclass
class Chains:
    """One completion for each prompt, and what it took.

    Attributes:
        ids: (rows, tokens), padded behind the end.
        lengths: (rows,), the end-of-sequence token included where there is one.
        log_p, log_q: (rows, tokens), of each token under the model and under the proposal; 0 in padding.
        tokens: (rows,), generated in all, those of rejected proposals too.
        proposed, accepted: (rows,), proposals.
    """

    ids: Tensor
    lengths: Tensor
    log_p: Tensor
    log_q: Tensor
    tokens: Tensor
    proposed: Tensor
    accepted: Tensor


def power_mcmc(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    *,
    alpha: float,
    proposal_temperature: float,
    blocks: int,
    mcmc_steps: int,
    max_new_tokens: int,
    eos: Sequence[int],
    pad: int,
    generator: torch.Generator,
    early: bool = False,
    on_step: Callable[[int, int], None] = lambda done, of: None,
) -> Chains:
    """One chain for each prompt; for several completions of a prompt it stands there as often.

    Args:
        proposal_temperature: of q, the model's next-token distribution; 1/α in the paper.
        blocks: `max_new_tokens` in so many blocks of equal length; 16 in the paper, of 192 tokens each.
        mcmc_steps: N, for each block; 10 in the paper.
        early: whether an answer that has ended when its block is done is final.
        on_step: called with steps done, and steps in all if no answer ends before the last block.
    """
    device, rows = model.embedding.weight.device, len(prompts)
    ends = torch.tensor(list(eos), device=device)
    zeros = torch.zeros(rows, max_new_tokens, device=device, dtype=torch.float64)
    counts = torch.zeros(4, rows, dtype=torch.int64, device=device)
    ids = torch.full((rows, max_new_tokens), pad, device=device)
    chains = Chains(ids, counts[0], zeros, zeros.clone(), counts[1], counts[2], counts[3])
    size = math.ceil(max_new_tokens / blocks)

    def proposal(which: Tensor, places: Tensor, limit: int) -> tuple[Tensor, ...]:
        """Rows with new tokens from a place on: ids, lengths, log p and log q, (some rows, limit)."""
        kept = chains.ids[which].tolist()
        before = [
            [*prompts[row], *tokens[:place]]
            for row, tokens, place in zip(which.tolist(), kept, places.tolist(), strict=True)
        ]
        found = [x[which, :limit].clone() for x in (chains.ids, chains.log_p, chains.log_q)]
        column, lengths = torch.arange(limit, device=device), chains.lengths[which]
        slack = model.config.context - limit - max(map(len, prompts))
        for part in _alike(places, slack):
            some, room = [before[i] for i in part.tolist()], limit - places[part]
            made = generate(
                model,
                some,
                max_new_tokens=int(room.max()),
                eos=eos,
                pad=pad,
                temperature=proposal_temperature,
                generator=generator,
            )
            more = torch.minimum(made.lengths, room)
            with torch.no_grad():
                log_p, _ = log_probs(model, joined(some, made.ids, more, pad))
            offset = column - places[part, None]
            is_new = (offset >= 0) & (offset < more[:, None])
            for old, tail, filling in zip(found, (made.ids, log_p, made.log_probs), (pad, 0, 0), strict=True):
                new = F.pad(tail, (0, max(0, limit - tail.shape[1]))).gather(1, offset.clamp(min=0))
                behind = torch.where(offset < 0, old[part], filling)
                old[part] = torch.where(is_new, new.to(old.dtype), behind)
            lengths[part] = places[part] + more
        chains.tokens[which] += lengths - places
        return found[0], lengths, found[1], found[2]

    def replace(which: Tensor, by: tuple[Tensor, ...]) -> None:
        ids, lengths, log_p, log_q = by
        limit = ids.shape[1]
        chains.ids[which, :limit], chains.lengths[which] = ids, lengths
        chains.log_p[which, :limit], chains.log_q[which, :limit] = log_p, log_q

    for block in range(blocks):
        last = chains.ids.gather(1, (chains.lengths - 1).clamp(min=0)[:, None])
        open_ = (~((last == ends).any(1) & (chains.lengths > 0))).nonzero().squeeze(1)
        limit = min(size * (block + 1), max_new_tokens)
        going = open_ if early else torch.arange(rows, device=device)
        if limit == size * block or not len(going):
            break
        if len(open_):
            replace(open_, proposal(open_, chains.lengths[open_], limit))
        for step in range(mcmc_steps):
            lengths = chains.lengths[going]
            u, v = torch.rand(2, len(going), generator=generator, device=device, dtype=torch.float64)
            places = (u * lengths).long()
            new = proposal(going, places, limit)
            changed = torch.arange(limit, device=device) >= places[:, None]
            old = (alpha * chains.log_p - chains.log_q)[going, :limit]
            log_ratio = ((alpha * new[2] - new[3] - old) * changed).sum(1) + (lengths / new[1]).log()
            accepts = v.log() < log_ratio
            chains.proposed[going] += 1
            chains.accepted[going[accepts]] += 1
            replace(going[accepts], tuple(x[accepts] for x in new))
            on_step(block * mcmc_steps + step + 1, blocks * mcmc_steps)
    return chains


def _alike(places: Tensor, slack: int) -> list[Tensor]:
    """Rows in groups whose places are at most so far apart: what a group generates fits into the context."""
    order = torch.argsort(places, stable=True)
    groups: list[list[int]] = []
    for row, place in zip(order.tolist(), places[order].tolist(), strict=True):
        if not groups or place - int(places[groups[-1][0]]) > slack:
            groups.append([])
        groups[-1].append(row)
    return [torch.tensor(group, device=places.device) for group in groups]
