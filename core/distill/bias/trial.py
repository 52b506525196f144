"""One loss on one text, `lab run kd-loss-bias`: where its minimiser lies and where it leads. Nothing is trained.

Importing this costs no torch: the command line reads `Params` before anything heavy is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from ...trial import Context, Refused
from .names import TWO
from .params import Params

__all__ = ["Params", "trial"]

DOCUMENTS = 8
"""Figures at the truth are means over at most 1,024 tokens, since they vary little from token to token."""


def trial(params: Params, context: Context) -> Mapping[str, float]:
    """Measure one loss on one text; the seed is that of the language too. Raises Refused: k above the vocabulary."""
    import torch

    from . import minimisers, two_vocabularies
    from .one_vocabulary import at_student, at_truth
    from .texts import sample_text

    if params.k > params.vocabulary:
        raise Refused(f"k = {params.k} of a vocabulary of {params.vocabulary}")
    text = sample_text(
        params.tokens,
        topics=params.topics,
        words=params.words,
        vocabulary=params.vocabulary,
        seed=context.seed,
    )
    if params.loss in TWO:
        found = asdict(two_vocabularies.minimise(params.loss, text))
        # ALM moves what is certain by a rounding error, whose gradient is 3e-10.
        return {name: 0.0 if value < 1e-9 else value for name, value in found.items()}
    settings = minimisers.Settings(params.k, params.n, params.share)
    log_p, before, labels = text.log_probs(), text.ids[:, :-1], text.ids[:, 1:]
    loss = minimisers.loss(params.loss, settings, labels, torch.Generator().manual_seed(context.seed))
    at = at_truth(params.loss, loss, log_p[:DOCUMENTS], settings)
    return asdict(at) | asdict(at_student(loss, log_p, before, params.learnt))
