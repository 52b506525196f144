"""Loss functions for a student and a teacher of different tokens.

* `offsets`, `alignment`: tokens with byte offsets, and the spans that two tokenisations have in common.
* `vocabularies`: tokens that two vocabularies share.
* `units`: masking, checks and means that all losses here share.
* `spans`: a model's log-probability of a span; `merged`, GOLD's two ways to make one distribution of it.
* `divergence`: `soft_targets`, `kl` and `jsd` of distributions that may hold −∞.
* `ranks`: `uld`, sorted probabilities; `mapping`: `mapped_kl`, by the same or the nearest token.
* `hybrid`: `gold`, both of these; `likelihoods`: `alm`, the likelihood of spans.
* `hidden`: `hidden_states`, at the starts of spans; `cma`: `dskd_cma`, hidden states gathered by attention.
* `tree`, `marginals`: `marginal` and `exact_marginal`, the teacher's distribution of the next character as targets of
  `soft_targets`, the most that any loss here can transfer.

Text that the teacher wrote needs no loss of its own: `retokenise` it and take cross-entropy.

Logits at a position are those of the token at that position, the model's output one position earlier. Losses are
means over unmasked units, and the teacher's tensors are detached. With `num_items`, the number of units of the whole
batch, the losses of its pieces sum to that of the whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....lazy import names_of

if TYPE_CHECKING:
    from .alignment import AlignedTokens, Alignment, Span, align, align_batch, word_ends
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
    "Alignment", "Shared", "AlignedTokens", "Span", "Tokens", "Trie", "View", "align", "align_batch", "alm",
    "begins_with", "dskd_cma", "exact_marginal", "exact_string", "gold", "hidden_states", "mapped_kl",
    "marginal", "merged", "min_ed", "pieces", "require_same", "retokenise", "shared", "soft_targets",
    "span_logp", "to_student", "tokens", "trie", "uld", "word_ends",
]  # fmt: skip

if not TYPE_CHECKING:
    __getattr__ = names_of(__name__)
