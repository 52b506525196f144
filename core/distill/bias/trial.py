"""What an experiment about the bias of losses may vary, and one loss on one text. Nothing is trained.

Importing this costs no torch: the command line reads `Params` before anything heavy is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from pydantic import Field

from ... import trial as contract
from .names import TWO, One, Two

DOCUMENTS = 8
"""What is said of the truth is a mean over tokens that few of them settle: 1,024 at most."""


class Params(contract.Params):
    """The knobs."""

    loss: One | Two = "forward-kl"
    tokens: int = Field(1024, ge=1)
    """Of the text, in pieces of words."""
    k: int = Field(12, ge=1)
    """Of top-k: tokens of the teacher's distribution that are kept."""
    n: int = Field(50, ge=1)
    """Of sampled: draws for each token."""
    share: float = Field(0.5, ge=0, le=1)
    """The teacher's part of the mixture of jsd (β) and skew (λ)."""
    learnt: float = Field(0.0, ge=0, lt=1)
    """How far the student has come whose gradients are compared: 0 knows how often each token comes, near 1 the best that
    can be told from the last token alone."""
    topics: int = Field(8, ge=1)
    words: int = Field(2000, ge=8)
    vocabulary: int = Field(512, ge=32)
    """Tokens of the teacher's byte-pair encoding, and where there is one vocabulary of the student's."""


def trial(params: Params, context: contract.Context) -> Mapping[str, float]:
    """One loss on one text; the seed is that of the language too.

    Raises:
        Refused: k above the vocabulary.
    """
    import torch

    from . import minimisers, two_vocabularies
    from .one_vocabulary import at_student, at_truth
    from .texts import written

    if params.k > params.vocabulary:
        raise contract.Refused(f"k = {params.k} of a vocabulary of {params.vocabulary}")
    text = written(
        params.tokens,
        topics=params.topics,
        words=params.words,
        vocabulary=params.vocabulary,
        seed=context.seed,
    )
    if params.loss in TWO:
        found = asdict(two_vocabularies.moved(params.loss, text))
        # ALM moves what is certain by a rounding error, whose gradient is 3e-10.
        return {name: 0.0 if value < 1e-9 else value for name, value in found.items()}
    settings = minimisers.Settings(params.k, params.n, params.share)
    log_p, before, labels = text.log_probs(), text.ids[:, :-1], text.ids[:, 1:]
    loss = minimisers.loss(params.loss, settings, labels, torch.Generator().manual_seed(context.seed))
    at = at_truth(params.loss, loss, log_p[:DOCUMENTS], settings)
    return asdict(at) | asdict(at_student(loss, log_p, before, params.learnt))
