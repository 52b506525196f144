"""On-policy distillation: a student learns from what a teacher says of the student's own samples.

* `losses`: what is compared at each token of a sample, over the whole vocabulary or at the sampled token alone.
* `vocabularies`: whether two models have the same tokens.
* `step`: one update on given sequences, and the KL to the teacher on them.
* `bias`: these gradients beside that of the whole sequence's KL, by listing all sequences.

The sequences are the student's own samples, or any others: on a teacher's traces the same step is distillation off-policy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import names_of

if TYPE_CHECKING:
    from .losses import sampled_token
    from .step import distill_step, kl_to_teacher
    from .vocabularies import check_same_tokens

__all__ = ["check_same_tokens", "distill_step", "kl_to_teacher", "sampled_token"]

if not TYPE_CHECKING:
    __getattr__ = names_of(__name__)
