"""Response losses: the student's next-token distribution against the teacher's, over the whole vocabulary.

With p_T and q_T the teacher's and the student's softmax of logits / T, at one position:

    |             | loss                                            | minimiser          | truth stationary          |
    |-------------|-------------------------------------------------|--------------------|---------------------------|
    | hard_data   | −log q(y), y the data                           | the data's own     | on average over the data  |
    | hard_draw   | −T²·log q_T(y), y drawn from p_T                | q = p, on average  | on average over the draws |
    | hard_argmax | −T²·log q_T(y), y = argmax p                    | all mass on y      | no: over-confident        |
    | forward_kl  | T²·Σ p_T·(log p_T − log q_T)                    | q = p              | yes                       |
    | reverse_kl  | T²·Σ q_T·(log q_T − log p_T)                    | q = p              | yes                       |
    | jsd(β)      | T²·(β·KL(p_T‖m) + (1−β)·KL(q_T‖m)), with        | q = p              | yes                       |
    |             | m = β·p_T + (1−β)·q_T; β = 0, 1: the two above  |                    |                           |
    | skew(λ)     | T²·KL(p_T‖λ·p_T + (1−λ)·q_T)                    | q = p (λ < 1)      | yes                       |
    | tvd         | T·½·Σ|p_T − q_T|                                | q = p              | yes, at a kink            |

"Truth stationary": whether the gradient is 0 where teacher and student are both the truth. Where it is not, the loss
is biased, and more data do not help.

Why T²: for large T a distribution is flat, p_T ≈ (1 + (z − z̄)/T)/V, and the gradient of a divergence with respect to the
logits falls as 1/T². The factor keeps it at (centred student logits − centred teacher logits)/V, so that the weight of a
term beside another one at T = 1 does not have to follow T (Hinton et al., arXiv:1503.02531, §2). Total variation is
linear in p − q, its gradient falls as 1/T, and so does its factor. Alone, under an optimiser that divides by the size
of the gradient (Adam), the factor nearly cancels. For T above about 30 the *value* in float32 is mostly rounding, since
it is T² times a difference of numbers that agree to 1/T²; the gradient is not.

Sums are over the vocabulary, and divided by tokens. (`torch.nn.functional.kl_div` with `reduction="mean"` divides by
the vocabulary as well, so that a loss of 1 nat at V = 50,000 has the gradients of 0.00002.)

Kim & Rush's sequence-level distillation (arXiv:1606.07947) is no further loss: it is `hard_data` on texts that the
teacher wrote.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ...lm.precision import precise
from .arguments import bool_mask, check_labels, check_logits, check_share, check_student
from .numba import backend as kernels
from .slabs import Slab, mean_over_tokens, slabs, teacher_log_probs


def hard_data(
    student_logits: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    num_items: float | None = None,
    in_place: bool = False,
) -> Tensor:
    """−log q(y) for the tokens y of the data: cross-entropy, without a teacher.

    Its least value is the entropy of the data, not 0. There is no temperature: the data have none.

    Args:
        labels: (batch, tokens), the token that each position predicts, already shifted; any number where masked, such
            as −100.
        student_logits, mask, num_items, in_place: as in `forward_kl`.
    Returns: scalar. Raises ValueError: shapes that do not match, or a label outside the vocabulary.
    """
    check_student(student_logits)
    check_labels(labels, student_logits, mask)
    return _cross_entropy(student_logits, labels, mask, 1.0, num_items, in_place)


def hard_draw(
    student_logits: Tensor,
    teacher_logits: Tensor,
    mask: Tensor | None = None,
    temperature: float = 1.0,
    *,
    generator: torch.Generator | None = None,
    num_items: float | None = None,
) -> Tensor:
    """−T²·log q_T(y) for one y drawn from the teacher's p_T at each position.

    Its gradient is, on average over draws, that of `forward_kl`: noisier, not biased. The value is larger, on average by
    T² times the entropy of p_T, and is not 0 at q = p.

    `generator` is for the draws, on the device of the logits; torch's own without one. Other arguments, returns and
    errors are those of `forward_kl`.
    """
    check_logits(student_logits, teacher_logits, temperature)
    mask = bool_mask(mask, teacher_logits.shape[:-1])
    y = torch.zeros(teacher_logits.shape[:-1], dtype=torch.int64, device=teacher_logits.device)
    for slab in slabs(teacher_logits, mask):
        p = teacher_log_probs(teacher_logits, slab, temperature).exp()
        # Two draws for one: torch draws a single one by V random numbers instead of one, which takes twice as long.
        slab.put(torch.multinomial(p, 2, replacement=True, generator=generator)[:, 0], y)
    return _cross_entropy(student_logits, y, mask, temperature, num_items)


def hard_argmax(
    student_logits: Tensor,
    teacher_logits: Tensor,
    mask: Tensor | None = None,
    temperature: float = 1.0,
    *,
    num_items: float | None = None,
) -> Tensor:
    """−T²·log q_T(y) for the teacher's likeliest token y at each position.

    Biased: its minimiser has all mass on y, whatever the teacher's entropy, so the student becomes over-confident
    (Busbridge et al., "Distillation Scaling Laws", arXiv:2502.08606, E.8). At q = p the gradient is q − onehot(y).

    Arguments, returns and errors are those of `forward_kl`.
    """
    check_logits(student_logits, teacher_logits, temperature)
    mask = bool_mask(mask, teacher_logits.shape[:-1])
    y = torch.zeros(teacher_logits.shape[:-1], dtype=torch.int64, device=teacher_logits.device)
    for slab in slabs(teacher_logits, mask):
        slab.put(teacher_log_probs(teacher_logits, slab, 1.0).argmax(-1), y)
    return _cross_entropy(student_logits, y, mask, temperature, num_items)


def forward_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    mask: Tensor | None = None,
    temperature: float = 1.0,
    *,
    num_items: float | None = None,
    in_place: bool = False,
) -> Tensor:
    """T²·KL(p_T‖q_T) = T²·Σ p_T·(log p_T − log q_T): Hinton et al. (arXiv:1503.02531), §2, less the teacher's entropy.

    Cross-entropy with soft targets has the same gradient but the teacher's entropy for its least value; this is 0 at
    q = p, and there only. It asks the student to cover all that the teacher does (Σ is over the teacher's mass).

    Args:
        student_logits: (batch, tokens, vocabulary) or (examples, classes); float16, bfloat16, float32 or float64,
            computed in float32 at least.
        teacher_logits: the same shape, constant to the gradient. −∞ is a probability of 0, and costs nothing where the
            student has it too. Log-probabilities are logits as well.
        mask: (batch, tokens), true or 1 where a token counts; all of them without one. What stands elsewhere, NaN
            included, does not matter. All masked: 0, with a gradient of 0.
        temperature: T, above 0.
        num_items: the number of unmasked tokens of the whole batch where this is a piece of one.
        in_place: the gradient may take the memory of the student's logits, which nothing must read any more.
    Returns: scalar, in float32 unless the student's logits are float64; +∞ where the student has a
    probability of 0 and the teacher has not.
    Raises ValueError: shapes or vocabularies that differ, a temperature that is not above 0, or a teacher
    whose logits are NaN (the message says where).
    """
    return _mean(
        "forward_kl",
        0,
        _kl,
        student_logits,
        teacher_logits,
        mask,
        temperature,
        num_items,
        with_slope=_kl_and_slope,
        in_place=in_place,
    )


def reverse_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    mask: Tensor | None = None,
    temperature: float = 1.0,
    *,
    num_items: float | None = None,
) -> Tensor:
    """T²·KL(q_T‖p_T) = T²·Σ q_T·(log q_T − log p_T): Gu et al., MiniLLM (arXiv:2306.08543), at each token.

    The gradient goes through both q: with the first one held constant it would be 0 at every q. The sum is over the
    student's mass, so a student that is too small to be p gives up parts of it rather than spread over what p excludes.
    The prefixes are those given; drawing them from the student is up to the trainer.

    Arguments, returns and errors are those of `forward_kl`; +∞ where the teacher has a probability of 0 and the student
    has not.
    """

    def kl(log_p: Tensor, log_q: Tensor) -> Tensor:
        return _kl(log_q, log_p)

    return _mean("reverse_kl", 0, kl, student_logits, teacher_logits, mask, temperature, num_items)


def jsd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    mask: Tensor | None = None,
    temperature: float = 1.0,
    *,
    beta: float = 0.5,
    num_items: float | None = None,
) -> Tensor:
    """T²·(β·KL(p_T‖m) + (1 − β)·KL(q_T‖m)), m = β·p_T + (1 − β)·q_T: Agarwal et al., GKD (arXiv:2306.13649), eq. 1.

    As in TRL (which has no T²), β = 0 is `forward_kl` and β = 1 is `reverse_kl`. That is a jump, not a limit: the formula
    goes to 0 from either side, as β·KL(p‖q) and (1 − β)·KL(q‖p). A sweep over β therefore compares weights as much
    as divergences: near the ends, tune the learning rate, or divide by β·(1 − β).

    β is the teacher's share of the mixture; ½ is the Jensen-Shannon divergence, at most log 2 nats. Other arguments,
    returns and errors are those of `forward_kl`; also ValueError for a beta outside [0, 1].
    """
    check_share("beta", beta)
    if beta == 0:
        return forward_kl(student_logits, teacher_logits, mask, temperature, num_items=num_items)
    if beta == 1:
        return reverse_kl(student_logits, teacher_logits, mask, temperature, num_items=num_items)

    def divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
        # Constant: what log m changes by is −Σ m·d(log m) = −Σ dm, and probabilities always sum to 1.
        log_m = _log_mixture(log_p, log_q.detach(), beta)
        return beta * _kl(log_p, log_m) + (1 - beta) * _kl(log_q, log_m)

    return _mean("jsd", beta, divergence, student_logits, teacher_logits, mask, temperature, num_items)


def skew(
    student_logits: Tensor,
    teacher_logits: Tensor,
    mask: Tensor | None = None,
    temperature: float = 1.0,
    *,
    lam: float = 0.1,
    num_items: float | None = None,
) -> Tensor:
    """T²·KL(p_T‖λ·p_T + (1 − λ)·q_T): Ko et al., DistiLLM (arXiv:2402.03898), whose λ is 0.1.

    The mixture is never below λ·p, so the loss stays under −log λ and its gradient does not explode where the student has
    next to nothing. λ = 0 is `forward_kl`; λ = 1 is 0 for every student.

    λ is the teacher's share of the mixture. Other arguments, returns and errors are those of `forward_kl`; also
    ValueError for a lam outside [0, 1].
    """
    check_share("lam", lam)
    if lam == 0:
        return forward_kl(student_logits, teacher_logits, mask, temperature, num_items=num_items)

    def divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
        return _kl(log_p, _log_mixture(log_p, log_q, lam))

    return _mean("skew", lam, divergence, student_logits, teacher_logits, mask, temperature, num_items)


def tvd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    mask: Tensor | None = None,
    temperature: float = 1.0,
    *,
    num_items: float | None = None,
) -> Tensor:
    """T·½·Σ|p_T − q_T|, total variation: Wen et al., f-DISTILL (arXiv:2307.15190). At T = 1 between 0 and 1.

    The minimiser q = p is a kink: the gradient is 0 exactly there, but does not become small near it, where the signs
    of p − q may be rounding errors.

    Arguments, returns and errors are those of `forward_kl`.
    """

    def divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
        return (log_q.exp() - log_p.exp()).abs().sum(-1) / 2

    return _mean("tvd", 0, divergence, student_logits, teacher_logits, mask, temperature, num_items)


@precise
def _mean(
    name: str,
    share: float,
    divergence: Callable[[Tensor, Tensor], Tensor],
    student_logits: Tensor,
    teacher_logits: Tensor,
    mask: Tensor | None,
    temperature: float,
    num_items: float | None,
    *,
    with_slope: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None,
    in_place: bool = False,
) -> Tensor:
    """The mean over tokens of a divergence of log p and log q, both (rows, vocabulary), times T² or, for `tvd`, T.

    `name` and `share` are those of the kernel. `with_slope` gives the divergence and its derivative by the student's logits / temperature, where it is known; it may
    write over both arguments.
    """
    check_logits(student_logits, teacher_logits, temperature)

    def log_p(log_q: Tensor, slab: Slab) -> Tensor:
        return teacher_log_probs(teacher_logits, slab, temperature).to(log_q.dtype)

    def loss(log_q: Tensor, slab: Slab) -> Tensor:
        return divergence(log_p(log_q, slab), log_q)

    def slope(log_q: Tensor, slab: Slab) -> tuple[Tensor, Tensor]:
        assert with_slope is not None  # `slope` is passed only with it
        return with_slope(log_p(log_q, slab), log_q)

    return mean_over_tokens(
        loss,
        student_logits,
        mask,
        temperature,
        scale=temperature if name == "tvd" else temperature**2,
        num_items=num_items,
        slope=None if with_slope is None else slope,
        compiled=partial(kernels.divergence, name, share, teacher_logits)
        if kernels.can_take(student_logits, teacher_logits)
        else None,
        in_place=in_place,
    )


def _kl(log_a: Tensor, log_b: Tensor) -> Tensor:
    found: Tensor = torch.linalg.vecdot(log_a.exp(), log_a - log_b)
    return found


def _kl_and_slope(log_p: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
    """KL(p‖q), and q − p, since −Σ p·∂(log q)/∂z_j = Σ p·(q_j − [at j]) where p sums to 1. Nothing is made but p."""
    p = log_p.exp()
    kl: Tensor = torch.linalg.vecdot(p, log_p.sub_(log_q))
    return kl, log_q.exp_().sub_(p)


def _log_mixture(log_p: Tensor, log_q: Tensor, share: float) -> Tensor:
    """log(share·p + (1 − share)·q). Where both are below the smallest number, so is what they add to a loss."""
    m = torch.lerp(log_q.exp(), log_p.exp(), share)
    return m.clamp(min=torch.finfo(m.dtype).tiny).log()


@precise
def _cross_entropy(
    student_logits: Tensor,
    y: Tensor,
    mask: Tensor | None,
    temperature: float,
    num_items: float | None,
    in_place: bool = False,
) -> Tensor:
    def loss(log_q: Tensor, slab: Slab) -> Tensor:
        return -log_q.gather(-1, slab.of(y).unsqueeze(-1)).squeeze(-1)

    ids = y.unsqueeze(-1)
    return mean_over_tokens(
        loss,
        student_logits,
        mask,
        temperature,
        scale=temperature**2,
        num_items=num_items,
        compiled=partial(kernels.sparse_kl, ids, torch.ones_like(ids, dtype=torch.float32))
        if kernels.can_take(student_logits, y)
        else None,
        in_place=in_place,
    )
