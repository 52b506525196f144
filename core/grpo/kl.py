"""Per-token estimators of KL(π‖π_ref) from the log-probs of sampled tokens, k1, k2 and k3, and their use in a loss.

Schulman, "Approximating KL Divergence" (2020, http://joschu.net/blog/kl-approx.html). With r = π_ref/π at a token
sampled from π:

    k1 = −log r          unbiased, often negative
    k2 = ½ (log r)²      biased, never negative
    k3 = r − 1 − log r   unbiased, never negative; DeepSeekMath (arXiv:2402.03300), eq. 4; Liger's `k3_loss_fn`

A good estimate need not have a good gradient, because autograd does not see that the tokens were drawn from π (Tang &
Munos, "On a few pitfalls in KL divergence gradient estimation for RL", arXiv:2506.09477; TRL issue #4637). For
samples of π_old and w = π/π_old, the expected gradient is:

    |    | as it is, π_old = π                                  | in the loss (`kl_in_loss`)                |
    |----|------------------------------------------------------|-------------------------------------------|
    | k1 | 0: it does nothing                                   | w·k1: that of KL(π‖π_ref)                 |
    | k2 | that of KL(π‖π_ref); not so once π_old lags behind π | w held constant, times k2: of KL(π‖π_ref) |
    | k3 | that of KL(π_ref‖π), the other direction             | w·k3: that of KL(π‖π_ref)                 |

w·k2 with the gradient of w would be wrong: E[w·k2] is E_π[k2], which is not KL. The correction of k3 is that of
DeepSeek-V3.2 (arXiv:2512.02556) and TRL's `use_bias_correction_kl`.

The table holds for one token after a given prefix. Like every trainer that weights tokens one by one, this leaves out
that the prefixes were drawn from π too.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

KL_ESTIMATORS = ("k1", "k2", "k3")


def per_token_kl(logp: Tensor, ref_logp: Tensor, kind: str = "k3") -> Tensor:
    """Schulman's estimate of KL(π‖π_ref) at each token.

    Args:
        logp: log π of the sampled tokens, any shape.
        ref_logp: log π_ref of the same tokens, the same shape.
        kind: "k1", "k2" or "k3".
    Returns: the estimates, of the same shape. Raises ValueError: an unknown kind.
    """
    log_r = ref_logp - logp
    if kind == "k1":
        return -log_r
    if kind == "k2":
        return 0.5 * log_r.square()
    if kind == "k3":
        return torch.expm1(log_r) - log_r  # exp(log_r) − 1 would lose all digits where π is close to π_ref
    raise ValueError(f"unknown kind of KL estimate {kind!r}; known: {', '.join(KL_ESTIMATORS)}")


def kl_in_loss(logp: Tensor, old_logp: Tensor, ref_logp: Tensor, kind: str = "k3") -> Tensor:
    """π/π_old · k at each token, whose expected gradient over samples of π_old is that of KL(π‖π_ref).

    Arguments as in `per_token_kl`; old_logp is log π_old, the policy that sampled the tokens. All but logp are
    detached here, and so is the weight of k2.

    Returns: the estimates, of the same shape. For k1 and k3 their mean over samples of π_old is KL(π‖π_ref).
    Raises ValueError: an unknown kind.
    """
    return weighted_kl(logp - old_logp.detach(), logp, ref_logp, kind)


def weighted_kl(log_w: Tensor, logp: Tensor, ref_logp: Tensor, kind: str) -> Tensor:
    """`kl_in_loss` for a given log w, which broadcasts against logp.

    A log w of logp's own shape must be log π − log π_old of the same tokens: k3 relies on it for its gradient.
    """
    if kind == "k3" and log_w.shape == logp.shape:
        found: Tensor = _WeightedK3.apply(log_w, logp, ref_logp.detach())  # type: ignore[no-untyped-call]
        return found
    w = torch.exp(log_w.detach() if kind == "k2" else log_w)
    return w * per_token_kl(logp, ref_logp.detach(), kind)


class _WeightedK3(torch.autograd.Function):
    """w · k3 with its derivative in log π, −w·log r.

    The product rule would give w·k3 + w·(1 − r): far from the reference two terms of the size of r, whose difference
    loses all digits of log r, or is ∞ − ∞. Where r overflows, w·r = π_ref/π_old need not.
    """

    @staticmethod
    def forward(ctx: Any, log_w: Tensor, logp: Tensor, ref_logp: Tensor) -> Tensor:
        log_r = ref_logp - logp
        w = log_w.exp()
        ctx.save_for_backward(w * log_r)
        far = (log_w + log_r).exp() - w * (1 + log_r)
        return torch.where(log_r > 1, far, w * (torch.expm1(log_r) - log_r))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, None]:
        """The whole gradient goes to logp, of which log w is a function."""
        [g], [w_log_r] = gradients, ctx.saved_tensors
        return None, -g * w_log_r, None
