"""Distillation losses, each a function: of responses, of features, of relations, and between tokenizers.

    NAME(student_logits, teacher_logits, mask=None, temperature=1.0, …)    (batch, tokens, vocabulary) → scalar

* `arguments`: checks of shapes, masks, labels and temperatures that all losses share.
* `slabs`: a mean over tokens and its gradient without tensors of batch · tokens · vocabulary.
* `response`: hard labels, `forward_kl`, `reverse_kl`, `jsd`, `skew`, `tvd`: whole distributions.
* `sparse`: `top_k` and `random_sampling`: some tokens of a distribution, from logits or from a file of them.
* `features`: `feature` and `attention_transfer`; projectors, and pairs of layers.
* `relations`: `rkd_distance`, `rkd_angle`, `similarity`, `minilm_relations`: distances, angles, products of positions.
* `contrastive`: `crd`, which classifies pairs of states as of one position or of two.
* `cross_tokenizer`: losses for different vocabularies: `uld`, and those that need aligned texts.

All are means over the unmasked tokens, and 0 with a gradient of 0 where every token is masked. With `num_items`, the
number of unmasked tokens of the whole batch, the losses of its pieces sum to that of the whole. The losses shift
nothing: logits[t] predict token t + 1, and mask and labels have the positions of the logits. The teacher's tensors
are detached.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import names_of

if TYPE_CHECKING:
    from .contrastive import crd
    from .cross_tokenizer import uld
    from .features import attention_transfer, feature, layer_pairs, linear_projector, mlp_projector
    from .relations import minilm_relations, rkd_angle, rkd_distance, similarity
    from .response import forward_kl, hard_argmax, hard_data, hard_draw, jsd, reverse_kl, skew, tvd
    from .sparse import Sampled, TopK, random_sampling, sampled_targets, top_k, top_k_targets

__all__ = [
    "Sampled", "TopK", "attention_transfer", "crd", "feature", "forward_kl", "hard_argmax", "hard_data",
    "hard_draw", "jsd", "layer_pairs", "linear_projector", "minilm_relations", "mlp_projector",
    "random_sampling", "reverse_kl", "rkd_angle", "rkd_distance", "sampled_targets", "similarity", "skew",
    "top_k", "top_k_targets", "tvd", "uld",
]  # fmt: skip

if not TYPE_CHECKING:
    __getattr__ = names_of(__name__)
