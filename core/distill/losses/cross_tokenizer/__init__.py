"""Distillation between models of different tokens.

* `offsets`, `alignment`: byte offsets, and the spans that two tokenisations have in common.
* `spans`: what a model says of a span; `merged`, GOLD's two ways to make one distribution of it.
* `vocabularies`, `mapping`: which tokens are the same, or nearest, as tensors of ids.
* `uld`, `mapped_kl`, `gold`, `alm`, `hidden_states`, `dskd_cma`: the losses. Text that the teacher wrote needs none of
  its own: `retokenise` it and take cross-entropy.
* `marginal`, `exact_marginal`: what the teacher says of the next character, as targets of `soft_targets`: the ceiling.

Logits at a position are those of the token at that position, the model's output one position earlier.
Losses are means over unmasked units and constant to the teacher. Where a batch comes in pieces, give each piece the
units of the whole as num_items, and the pieces' losses add up to its loss.

Names load when they are first asked for, so that importing this costs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....lazy import names_of

if TYPE_CHECKING:
    from .alignment import Alignment, Side, Span, align, align_batch, word_ends
    from .cma import View, dskd_cma
    from .divergence import soft_targets
    from .hidden import hidden_states
    from .hybrid import gold
    from .likelihoods import alm, begins_with
    from .mapping import exact_string, mapped_kl, min_ed, to_student
    from .marginals import exact_marginal, marginal
    from .offsets import Tokens, pieces, retokenise, tokens
    from .ranks import uld
    from .spans import merged, span_logp
    from .tree import Trie, trie
    from .vocabularies import Shared, require_same, shared

__all__ = [
    "Alignment",
    "Shared",
    "Side",
    "Span",
    "Tokens",
    "Trie",
    "View",
    "align",
    "align_batch",
    "alm",
    "begins_with",
    "dskd_cma",
    "exact_marginal",
    "exact_string",
    "gold",
    "hidden_states",
    "mapped_kl",
    "marginal",
    "merged",
    "min_ed",
    "pieces",
    "require_same",
    "retokenise",
    "shared",
    "soft_targets",
    "span_logp",
    "to_student",
    "tokens",
    "trie",
    "uld",
    "word_ends",
]

if not TYPE_CHECKING:
    __getattr__ = names_of(
        __name__,
        {
            "alignment": ("Alignment", "Side", "Span", "align", "align_batch", "word_ends"),
            "cma": ("View", "dskd_cma"),
            "divergence": ("soft_targets",),
            "hidden": ("hidden_states",),
            "hybrid": ("gold",),
            "likelihoods": ("alm", "begins_with"),
            "mapping": ("exact_string", "mapped_kl", "min_ed", "to_student"),
            "marginals": ("exact_marginal", "marginal"),
            "offsets": ("Tokens", "pieces", "retokenise", "tokens"),
            "ranks": ("uld",),
            "spans": ("merged", "span_logp"),
            "tree": ("Trie", "trie"),
            "vocabularies": ("Shared", "require_same", "shared"),
        },
    )
