"""Group relative policy optimisation (GRPO): its mathematics, each part usable alone, and the training of an experiment.

In reading order:

The mathematics, on tensors:

* `advantages`: from a group's rewards to advantages; which groups have none.
* `kl`: estimators k1, k2, k3 of KL(π‖π_ref), `per_token_kl`, and their form in a loss.
* `losses`: `policy_loss` of type `grpo`, `bnpo`, `dr_grpo`, `dapo`, `gspo`, `cispo`, and its metrics.
* `accuracy_at_k`: pass@k and the majority vote over many samples.

Text:

* `rewards`: rewards for accuracy, format, length, one language, chance, and their weighted sum.
* `tasks`: problems, demonstrations and verifiers.

A training:

* `rollout`: sample completions and verify their answers.
* `config`: `GRPOConfig`, the configuration of the trainer, and published presets.
* `trainer`: one step of GRPO, and of its controls rft and sft.
* `evaluation`: metrics of a model on given problems.
* `eval_set`: the test problems of a training, evaluated and recorded through it.

An experiment:

* `reward_spec`: the text `accuracy+0.2*format` to rewards.
* `params`: the parameters of an experiment, and what they make.
* `base_model`: the model before GRPO, trained from scratch and cached.
* `pretrained_model`: or one of Hugging Face's.
* `start`: whichever of the two a training begins with.
* `trained_policy`: the model that a training ends with, from the cache or trained now.
* `trial`: what `lab run grpo` runs for each variant and seed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import names_of

if TYPE_CHECKING:
    from .accuracy_at_k import majority, pass_at_k
    from .advantages import group_advantages
    from .losses import policy_loss

__all__ = ["group_advantages", "majority", "pass_at_k", "policy_loss"]

if not TYPE_CHECKING:
    __getattr__ = names_of(__name__)
