"""Log-probabilities of given completions, by the full forward pass, with little padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .cache import Shared
from .chosen import chosen_log_probs
from .language_model import LanguageModel
from .model import Transformer
from .packed import Packed, packed
from .precision import wide


@dataclass(frozen=True)
class Sequences:
    """Prompts with their completions, each from its first column on.

    Attributes:
        ids: (rows, columns), padded behind the end.
        starts: (rows,), the column of a completion's first token.
        lengths: (rows,), tokens of a completion.
        prompts: (rows,), the number of a row's prompt; rows of one number begin alike, up to `starts`.
    """

    ids: Tensor
    starts: Tensor
    lengths: Tensor
    prompts: Tensor

    @property
    def ends(self) -> Tensor:
        return self.starts + self.lengths

    def rows(self, which: Tensor) -> Sequences:
        """Some of them, without the columns that none of these needs."""
        starts, lengths = self.starts[which], self.lengths[which]
        width = int((starts + lengths).max()) if len(which) else 0
        return Sequences(self.ids[which, :width], starts, lengths, self.prompts[which])

    def on(self, device: torch.device) -> Sequences:
        """The same on another device."""
        return Sequences(*(x.to(device) for x in (self.ids, self.starts, self.lengths, self.prompts)))

    def by_length(self, parts: int) -> Iterator[Tensor]:
        """Row numbers in so many parts of about equal work, each of rows of like length."""
        order = torch.argsort(self.ends, stable=True)
        work = self.ends[order].cumsum(0)
        total = int(work[-1]) if len(order) else 0
        cuts = torch.searchsorted(work, torch.arange(1, parts, device=work.device) * total // parts)
        yield from (part for part in torch.tensor_split(order, cuts.cpu()) if len(part))


def joined(prompts: Sequence[Sequence[int]], completions: Tensor, lengths: Tensor, pad: int) -> Sequences:
    """Each prompt followed by its completions (completions, tokens); as many of these for each prompt."""
    per_prompt = completions.shape[0] // len(prompts)
    device, width = completions.device, completions.shape[1]
    longest = max(map(len, prompts))
    ids = torch.full((completions.shape[0], longest + width), pad, dtype=completions.dtype, device=device)
    for i, prompt in enumerate(prompts):
        rows = slice(i * per_prompt, (i + 1) * per_prompt)
        ids[rows, : len(prompt)] = torch.tensor(prompt, dtype=ids.dtype, device=device)
        ids[rows, len(prompt) : len(prompt) + width] = completions[rows]
    numbers = torch.arange(len(prompts), device=device).repeat_interleave(per_prompt)
    starts = torch.tensor([len(p) for p in prompts], device=device)[numbers]
    return Sequences(ids[:, : int((starts + lengths).max())], starts, lengths, numbers)


@dataclass(frozen=True)
class Predicting:
    """The tokens of completions, row by row without padding, and the states that predict them.

    Attributes:
        tokens: (tokens,). row, offset: of each its sequence, and its place in the completion.
        states: (states, d_model); those of a prompt may be there once for all of its completions.
        at: (tokens,), which of the states predicts a token.
    """

    tokens: Tensor
    row: Tensor
    offset: Tensor
    states: Tensor
    at: Tensor


def predicting_states(model: LanguageModel, sequences: Sequences) -> Predicting:
    """Where a completion's tokens come from. What the prompts have in common is computed once for all completions of a prompt."""
    width = int(sequences.lengths.max()) if len(sequences.ids) else 0
    column = torch.arange(width, device=sequences.ids.device)
    row, offset = (column < sequences.lengths[:, None]).nonzero(as_tuple=True)
    tokens = sequences.ids[row, sequences.starts[row] + offset]
    if isinstance(model, Transformer) and model.by_kernels(sequences.ids) and model.encoding.places is None:
        ids, places, at = _packed(sequences, row, offset)
        states = model.packed_states(ids, places)
    else:
        hidden, first = _states(model, sequences)
        at = row * hidden.shape[1] + sequences.starts[row] + offset - 1 - first
        states = hidden.flatten(0, 1)
    return Predicting(tokens, row, offset, states, at)


def completion_logits(model: LanguageModel, sequences: Sequences) -> tuple[Tensor, Tensor]:
    """Of each token of the completions, row by row without padding: the logits (tokens, V) that predict it, and its id (tokens,)."""
    of = predicting_states(model, sequences)
    return model.logits(of.states.index_select(0, of.at)), of.tokens


def log_probs(model: LanguageModel, sequences: Sequences, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Of each token of the completions: its log-probability and the entropy of its distribution.

    Returns: two tensors (rows, tokens), 0 in padding; `tokens` is the longest completion.
    """
    of = predicting_states(model, sequences)
    if isinstance(model, Transformer) and model.by_kernels(sequences.ids):
        chosen, entropy = chosen_log_probs(of.states, of.at, model.head.weight, of.tokens, temperature)
    else:
        logits = model.logits(of.states.index_select(0, of.at))
        log_p = torch.log_softmax(wide(logits) / temperature, -1)
        chosen = log_p.gather(-1, of.tokens[:, None]).squeeze(-1)
        with torch.no_grad():
            entropy = -(log_p.exp() * log_p).sum(-1)
    shape = len(sequences.ids), int(sequences.lengths.max())
    found = (chosen.new_zeros(shape).index_put((of.row, of.offset), x) for x in (chosen, entropy))
    return next(found), next(found)


def _packed(sequences: Sequences, row: Tensor, offset: Tensor) -> tuple[Tensor, Packed, Tensor]:
    """Each prompt once, then each completion but its last token, which predicts nothing.

    Args:
        row, offset: (tokens of completions,), the row of each, and its place there.
    Returns: ids and places of what is packed; for each token of a completion the packed token that predicts it.
    """
    rows = len(sequences.ids)
    numbers, of = torch.unique(sequences.prompts, return_inverse=True)
    any_row = torch.empty_like(numbers).scatter_(0, of, torch.arange(rows, device="cpu"))
    prompt_lengths, own = sequences.starts[any_row], (sequences.lengths - 1).clamp(min=0)
    some = own.nonzero().squeeze(1)
    lengths = torch.cat([prompt_lengths, own[some]])
    beginning = torch.cat([torch.full_like(numbers, -1), of[some]])
    places = packed(lengths, beginning)
    # Each packed token is one of `ids`: of any row with its prompt, or of its own.
    of_row = torch.cat([any_row, some]).repeat_interleave(lengths)
    ids = sequences.ids[of_row, places.positions.long()]
    first = torch.zeros(rows, dtype=torch.int64, device="cpu")
    first[some] = places.first[len(numbers) : -1]
    before = (
        places.first[1 : len(numbers) + 1] - 1
    )  # the last token of each prompt predicts the first of its completions
    return ids, places, torch.where(offset > 0, first[row] + offset - 1, before[of[row]])


def _states(model: LanguageModel, sequences: Sequences) -> tuple[Tensor, int]:
    """The hidden states that predict completions, (rows, columns, d_model), and the column of the first of them."""
    ids, rows = sequences.ids[:, :-1], len(sequences.ids)
    numbers, of = torch.unique(sequences.prompts, return_inverse=True)
    # Each row computes the last token of its prompt: its state is the first that predicts a completion.
    common = int(sequences.starts.min()) - 1
    if (
        common < 1
        or 2 * len(numbers) > rows
        or not isinstance(model, Transformer)
        or model.encoding.places is not None
    ):
        return model.hidden(ids), 0
    any_row = torch.empty_like(numbers).scatter_(0, of, torch.arange(rows, device=of.device))
    beginnings = Shared()
    model.hidden(ids[any_row, :common], beginnings)
    return model.hidden(ids[:, common:], replace(beginnings, of=of)), common
