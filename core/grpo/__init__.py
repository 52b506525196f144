"""Group relative policy optimisation: the mathematics of learning from a group's rewards, each part usable alone.

* `advantages`: a group's rewards become advantages; which groups carry none.
* `divergence`: estimators of KL(π‖π_ref), and the form of each whose gradient is that of KL.
* `losses`: `grpo`, `bnpo`, `dr_grpo`, `dapo`, `gspo`, `cispo` behind one signature, and their metrics.
* `rewards`: what text earns (accuracy, format, length, one language, chance), composed and weighted.
* `scores`: pass@k and the majority vote over many samples.

Names load when they are first asked for, so that importing `lab.core.grpo` costs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import names_of

if TYPE_CHECKING:
    from .advantages import group_advantages
    from .losses import policy_loss
    from .pass_at_k import majority, pass_at_k

__all__ = ["group_advantages", "majority", "pass_at_k", "policy_loss"]

if not TYPE_CHECKING:
    __getattr__ = names_of(
        __name__,
        {
            "advantages": ("group_advantages",),
            "losses": ("policy_loss",),
            "pass_at_k": ("majority", "pass_at_k"),
        },
    )
