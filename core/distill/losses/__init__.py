"""What a student is told to make small: response, feature and relation losses, each a function of its own.

    NAME(student_logits, teacher_logits, mask=None, temperature=1.0, …)    (batch, tokens, vocabulary) → scalar

* `response`: hard labels, `forward_kl`, `reverse_kl`, `jsd`, `skew`, `tvd`: whole distributions.
* `sparse`: `top_k` and `random_sampling`: some tokens of a distribution, from logits or from a file of them.
* `features`: `feature` and `attention_transfer`; projectors, and which layer learns from which.
* `contrastive`: `crd`, which tells a pair of states from pairs that do not belong together.
* `relations`: `rkd_distance`, `rkd_angle`, `similarity`, `minilm_relations`: how positions stand to each other.
* `cross_tokenizer`: where teacher and student have different vocabularies, `uld` and all that needs aligned texts.
* `slabs`: how a mean over tokens is made without whole tensors of the vocabulary's size.

All are means over the unmasked tokens, and 0 with a gradient of 0 where every token is masked. `num_items` takes the
place of the number of unmasked tokens where a batch comes in pieces: the sum of the pieces' losses, each given the
number of the whole batch, is that of the whole. Nothing here shifts: logits[t] tell token t + 1, and the mask (and the
labels) must stand where the logits do. What the teacher gives is constant to the gradient.

Names load when they are first asked for, so that importing `lab.core.distill.losses` costs no torch.
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
    "Sampled",
    "TopK",
    "attention_transfer",
    "crd",
    "feature",
    "forward_kl",
    "hard_argmax",
    "hard_data",
    "hard_draw",
    "jsd",
    "layer_pairs",
    "linear_projector",
    "minilm_relations",
    "mlp_projector",
    "random_sampling",
    "reverse_kl",
    "rkd_angle",
    "rkd_distance",
    "sampled_targets",
    "similarity",
    "skew",
    "top_k",
    "top_k_targets",
    "tvd",
    "uld",
]

if not TYPE_CHECKING:
    __getattr__ = names_of(
        __name__,
        {
            "contrastive": ("crd",),
            "cross_tokenizer": ("uld",),
            "features": ("attention_transfer", "feature", "layer_pairs", "linear_projector", "mlp_projector"),
            "relations": ("minilm_relations", "rkd_angle", "rkd_distance", "similarity"),
            "response": (
                "forward_kl",
                "hard_argmax",
                "hard_data",
                "hard_draw",
                "jsd",
                "reverse_kl",
                "skew",
                "tvd",
            ),
            "sparse": ("Sampled", "TopK", "random_sampling", "sampled_targets", "top_k", "top_k_targets"),
        },
    )
