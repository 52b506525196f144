"""The losses: exact over enumerated policies, by hand where they clip, and the same however a batch is laid out."""

import math
from itertools import product
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.core.grpo import group_advantages, policy_loss
from lab.core.grpo.losses import LOSS_TYPES, count_items, loss_parts
from lab.core.grpo.params import Params

V, T = 3, 2
RATIO = ["grpo", "bnpo", "dr_grpo", "dapo", "gspo"]  # all that clip w·A
TOKEN = ["grpo", "bnpo", "dr_grpo", "dapo"]


def normal(seed, *shape):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def close(a, b, rtol=1e-12, atol=1e-14):
    torch.testing.assert_close(a, torch.as_tensor(b, dtype=a.dtype), rtol=rtol, atol=atol)


def column(*values):
    return torch.tensor([values], dtype=torch.float64)


def gradient(loss, of):
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, of)])


def options(loss_type):
    return {"loss_type": loss_type, "max_completion_length": 7}


def batch(seed, n=6, tokens=5):
    """A batch with completions of all lengths, one of them masked altogether, and a policy that has moved."""
    logp = (normal(seed, n, tokens) - 2).requires_grad_()
    old = logp.detach() + 0.3 * normal(seed + 1, n, tokens)
    ref = logp.detach() + 0.3 * normal(seed + 2, n, tokens)
    lengths = torch.arange(n) % (tokens + 1)
    mask = torch.arange(tokens) < lengths.unsqueeze(1)
    return logp, old, normal(seed + 3, n), mask, ref


# Enumerated policies: all sequences of two tokens out of three.


def sequences(parameters):
    first, second = parameters
    one = first.log_softmax(0).repeat_interleave(V)
    return torch.stack([one, second.log_softmax(1).flatten()], 1)


@pytest.mark.parametrize(("loss_type", "G"), [("dr_grpo", 3), *((each, 2) for each in LOSS_TYPES)])
def test_the_mean_gradient_over_all_groups_is_the_exact_one(loss_type, G):
    """−(1 − 1/G)·∇E[R] / length: the mean of the group holds the completion itself, hence 1 − 1/G."""
    parameters = [normal(0, V).requires_grad_(), normal(1, V, V).requires_grad_()]
    R = torch.tensor(
        [0, 1, 0, 2, 0, 0, 1, 1, 3], dtype=torch.float64
    )  # ties too, so that some groups are equal
    wanted = gradient((sequences(parameters).sum(1).exp() * R).sum(), parameters)

    length = 5 if loss_type == "dr_grpo" else T
    p = sequences(parameters).sum(1).exp().detach()
    expected = torch.zeros((), dtype=torch.float64)
    for group in map(list, product(range(V**T), repeat=G)):
        logp = sequences(parameters)[group]
        A = group_advantages(R[group], G, "none")
        mask = torch.ones(G, T)
        loss = policy_loss(logp, logp, A, mask, loss_type=loss_type, max_completion_length=5)
        expected = expected + p[group].prod() * loss
    close(gradient(expected, parameters), -(1 - 1 / G) * wanted / length)


def test_off_policy_the_unclipped_gradient_at_single_tokens_is_exact_too():
    """w weights samples of π_old to those of π: with one token and no clip, E_old of the gradient is ∇E_π[R]."""
    theta, old = normal(2, V).requires_grad_(), normal(3, V).log_softmax(0)
    R = torch.tensor([0.0, 1.0, 5.0], dtype=torch.float64)
    loss = sum(
        old[y].exp() * policy_loss(theta.log_softmax(0)[y].view(1, 1), old[y].view(1, 1), R[y].view(1), column(1),
                                   epsilon=1e9)
        for y in range(V)
    )  # fmt: skip
    close(gradient(loss, [theta]), -gradient((theta.softmax(0) * R).sum(), [theta]))


# Where the losses must agree, and where not.


@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.1]))
@settings(max_examples=20, deadline=None)
def test_at_equal_full_length_the_normalisers_agree(seed, beta):
    logp, old, A, mask, ref = batch(seed)
    mask = torch.ones_like(mask)
    found = [
        gradient(policy_loss(logp, old, A, mask, loss_type=each, beta=beta, ref_logp=ref, max_completion_length=5), [logp])
        for each in TOKEN
    ]  # fmt: skip
    for other in found[1:]:
        close(other, found[0])


def test_at_unequal_lengths_they_do_not_by_hand():
    """Two completions of 1 and 3 tokens, w = 1, A = 1 and −1: what each token weighs."""
    logp = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[1, 0, 0], [1, 1, 1]])
    A = torch.tensor([1.0, -1.0], dtype=torch.float64)
    by_hand = {"grpo": (1 / 2, 1 / 6), "gspo": (1 / 2, 1 / 6), "dr_grpo": (1 / 14, 1 / 14)}
    for loss_type in LOSS_TYPES:
        a, b = by_hand.get(loss_type, (1 / 4, 1 / 4))
        loss = policy_loss(logp, logp, A, mask, **options(loss_type))
        close(gradient(loss, [logp]), [-a, 0, 0, b, b, b])


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_at_ratio_one_the_loss_is_zero_and_the_gradient_is_not(loss_type):
    logp = normal(5, 4, 5).requires_grad_()
    mask = torch.ones(4, 5)
    A = group_advantages(torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64), 4)
    for old in (logp, logp.detach()):
        loss = policy_loss(logp, old, A, mask, **options(loss_type))
        if loss_type != "cispo":  # its value is that of −A·log π
            close(loss.detach(), 0.0)
        assert gradient(loss, [logp]).abs().min() > 0.01
    if loss_type != "cispo":
        uncentred = policy_loss(logp, logp, A + 1, mask, loss_type=loss_type, max_completion_length=5)
        close(uncentred.detach(), -1.0)


# The clip, by hand.


@pytest.mark.parametrize(
    ("w", "A", "loss", "slope", "clipped"),
    [
        # slope: of the loss in log w; the clip stops it only where it would go on in its direction
        (1.5, 2.0, -2.56, 0.0, "high"),
        (1.5, -2.0, 3.0, 3.0, None),
        (0.5, 2.0, -1.0, -1.0, None),
        (0.5, -2.0, 1.6, 0.0, "low"),
        (1.25, 2.0, -2.5, -2.5, None),
        (0.85, -2.0, 1.7, 1.7, None),
        (1.5, 0.0, 0.0, 0.0, None),
    ],
)
@pytest.mark.parametrize("loss_type", RATIO)
def test_the_clip_by_hand(loss_type, w, A, loss, slope, clipped):
    old = column(-1.0)
    logp = (old + math.log(w)).requires_grad_()
    parts = loss_parts(logp, old, torch.tensor([A]), column(1), loss_type=loss_type, epsilon=0.2, epsilon_high=0.28,
                       max_completion_length=1)  # fmt: skip
    close(parts.loss.detach(), loss)
    close(gradient(parts.loss, [logp]), [slope])
    for side in ("low", "high"):
        assert parts.metrics[f"clip_ratio/{side}_mean"] == (clipped == side)
    assert parts.metrics["clip_ratio/region_mean"] == (clipped is not None)


def test_epsilon_high_defaults_to_epsilon_and_from_epsilon_1_on_nothing_is_clipped_below():
    A, old = torch.tensor([-1.0, 1.0]), torch.zeros(2, 1, dtype=torch.float64)
    logp = torch.tensor([[0.01], [20.0]], dtype=torch.float64).log()
    for epsilon in (1.0, 10.0):  # DeepSeek-R1's is 10
        loss = policy_loss(logp, old, A, torch.ones(2, 1), epsilon=epsilon)
        close(loss, (0.01 - (1 + epsilon)) / 2)


def test_gspo_clips_the_sequence_by_its_mean_by_hand():
    """Ratios 2 and ½: tokens that grpo would clip one by one have a sequence ratio of 1; padding does not enter it."""
    old = torch.zeros(1, 3, dtype=torch.float64)
    logp = column(math.log(2), -math.log(2), 9).requires_grad_()
    mask = column(1, 1, 0)
    parts = loss_parts(logp, old, torch.tensor([3.0]), mask, loss_type="gspo", epsilon=0.2)
    close(parts.loss.detach(), -3.0)
    close(gradient(parts.loss, [logp]), [-1.5, -1.5, 0])  # −s·A/|y| at each token
    assert parts.metrics["clip_ratio/region_mean"] == 0
    tokens = loss_parts(logp, old, torch.tensor([3.0]), mask, loss_type="grpo", epsilon=0.2)
    close(tokens.loss.detach(), -(1.2 + 0.5) * 3 / 2)
    assert tokens.metrics["clip_ratio/region_mean"] == 0.5


def test_gspo_counts_all_tokens_of_what_it_clips():
    """Of completions of one and of three tokens the longer is clipped: three tokens of four, as the paper counts."""
    logp = torch.tensor([[0.0, 9.0, 9.0], [0.5, 0.5, 0.5]], dtype=torch.float64)
    mask = torch.tensor([[1, 0, 0], [1, 1, 1]])
    parts = loss_parts(logp, torch.zeros_like(logp), torch.ones(2), mask, loss_type="gspo", epsilon=0.2)
    assert parts.metrics["clip_ratio/high_mean"] == parts.metrics["clip_ratio/region_mean"] == 0.75
    assert parts.metrics["clip_ratio/low_mean"] == 0


@pytest.mark.parametrize(("A", "share"), [(2.0, 1 / 3), (-2.0, 0.0)])
@pytest.mark.parametrize(("high", "bound"), [(3.0, 3.0), (None, 1.2)])
def test_cispo_by_hand(A, share, high, bound):
    """The bounded ratio weighs log π; it is bounded above only, for both signs, and no token loses its gradient."""
    w = torch.tensor([4.0, 1.0, 0.1], dtype=torch.float64)
    old = torch.full((1, 3), -2.0, dtype=torch.float64)
    logp = (old + w.log()).requires_grad_()
    parts = loss_parts(logp, old, torch.tensor([A]), torch.ones(1, 3), loss_type="cispo", epsilon_high=high)
    weights = torch.tensor([bound, 1.0, 0.1], dtype=torch.float64)
    close(parts.loss.detach(), float(-(weights * A * logp.detach()).mean()))
    close(gradient(parts.loss, [logp]), -weights * A / 3)
    assert parts.metrics["cispo_clip_ratio"] == pytest.approx(share)
    assert set(parts.metrics) == {"cispo_clip_ratio"}


# However the batch is laid out.


@given(st.integers(0, 10**6), st.sampled_from(LOSS_TYPES), st.sampled_from([0.0, 0.2]))
@settings(max_examples=40, deadline=None)
def test_padding_and_order_change_nothing(seed, loss_type, beta):
    logp, old, A, mask, ref = batch(seed)
    how = options(loss_type) | {"beta": beta}
    parts = loss_parts(logp, old, A, mask, ref_logp=ref, **how)
    slope = torch.autograd.grad(parts.loss, logp)[0]
    assert slope[~mask].abs().max() == 0

    hole = torch.full((6, 2), math.nan, dtype=torch.float64)
    hole[:, 0] = -math.inf
    padded = [torch.cat([hole, x.detach().masked_fill(~mask, math.inf), hole], 1) for x in (logp, old, ref)]
    wide = torch.nn.functional.pad(mask, (2, 2))
    x = padded[0].requires_grad_()
    again = loss_parts(x, padded[1], A, wide, ref_logp=padded[2], **how)
    close(again.loss.detach(), parts.loss.detach())
    close(torch.autograd.grad(again.loss, x)[0][:, 2:-2], slope)
    for name, value in parts.metrics.items():
        close(again.metrics[name], value, rtol=1e-6)

    order = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
    shuffled = policy_loss(logp[order], old[order], A[order], mask[order], ref_logp=ref[order], **how)
    close(torch.autograd.grad(shuffled, logp)[0], slope)


@given(st.integers(0, 10**6), st.sampled_from(LOSS_TYPES), st.sampled_from([0.0, 0.2]), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_micro_batches_add_up(seed, loss_type, beta, cut):
    logp, old, A, mask, ref = batch(seed)
    how = options(loss_type) | {"beta": beta}
    whole = policy_loss(logp, old, A, mask, ref_logp=ref, **how)
    items = count_items(mask, loss_type)
    pieces = [
        policy_loss(logp[at], old[at], A[at], mask[at], ref_logp=ref[at], num_items=items, **how)
        for at in (slice(0, cut), slice(cut, None))
    ]
    close(sum(pieces).detach(), whole.detach())
    close(gradient(sum(pieces), [logp]), gradient(whole, [logp]))


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_completions_without_advantage_may_be_left_out(loss_type):
    logp, old, A, mask, _ = batch(3)
    A[[1, 4]] = 0
    whole = policy_loss(logp, old, A, mask, **options(loss_type))
    kept = A != 0
    rest = policy_loss(
        logp[kept],
        old[kept],
        A[kept],
        mask[kept],
        num_items=count_items(mask, loss_type),
        **options(loss_type),
    )
    close(gradient(rest, [logp]), gradient(whole, [logp]))


def test_items():
    mask = torch.tensor([[1, 1, 0], [0, 0, 0], [1, 1, 1]])
    by_hand = dict.fromkeys(("grpo", "gspo", "dr_grpo"), 3)  # completions; all others divide by tokens
    assert {each: count_items(mask, each) for each in LOSS_TYPES} == dict.fromkeys(LOSS_TYPES, 5) | by_hand


def test_an_experiment_may_name_every_loss():
    assert get_args(Params.model_fields["loss_type"].annotation) == LOSS_TYPES


# The KL term, and corners.


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
@pytest.mark.parametrize("kind", ["k1", "k2", "k3"])
def test_the_kl_loss_is_beta_times_the_mean_of_the_estimates(loss_type, kind):
    """π ½, π_ref ¼, π_old ⅓: k1 = log 2 and so on, times the ratio 1.5."""
    logp, ref, old = (torch.full((2, 3), x, dtype=torch.float64).log() for x in (1 / 2, 1 / 4, 1 / 3))
    A = torch.tensor([1.0, -1.0])
    k = {"k1": math.log(2), "k2": math.log(2) ** 2 / 2, "k3": math.log(2) - 0.5}[kind]
    how = {"loss_type": loss_type, "max_completion_length": 3, "kl": kind}
    parts = loss_parts(logp, old, A, torch.ones(2, 3), ref_logp=ref, beta=0.1, **how)
    close(parts.metrics["kl"], 1.5 * k)
    close(parts.kl_loss, 0.15 * k)
    close(parts.loss, float(parts.policy_loss + parts.kl_loss))
    close(parts.policy_loss, float(policy_loss(logp, old, A, torch.ones(2, 3), **how)))
    watched = loss_parts(logp, old, A, torch.ones(2, 3), ref_logp=ref, **how)
    close(watched.metrics["kl"], 1.5 * k)
    close(watched.loss, float(parts.policy_loss))


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_an_empty_batch_has_loss_zero(loss_type):
    logp = normal(0, 2, 3).requires_grad_()
    parts = loss_parts(
        logp, logp, torch.ones(2), torch.zeros(2, 3), ref_logp=logp, beta=0.1, **options(loss_type)
    )
    assert parts.loss == 0
    assert gradient(parts.loss, [logp]).abs().max() == 0
    assert all(value == 0 for value in parts.metrics.values())
    nobody = torch.zeros(0, 3)
    assert policy_loss(nobody, nobody, torch.zeros(0), nobody, **options(loss_type)) == 0


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_a_ratio_that_overflows_leaves_no_nan_behind_the_clip(loss_type):
    logp = torch.tensor([[0.0], [0.0], [0.0]], requires_grad=True)
    old = torch.tensor([[-200.0], [-200.0], [0.0]])
    loss = policy_loss(logp, old, torch.tensor([1.0, 0.0, -1.0]), torch.ones(3, 1), **options(loss_type))
    assert loss.isfinite()
    assert gradient(loss, [logp]).isfinite().all()


def test_halves_are_computed_in_float32_and_only_the_policy_learns():
    logp, old, ref = (
        torch.full((2, 2), x, dtype=torch.bfloat16).requires_grad_() for x in (-8.0, -8.0625, -8.0)
    )
    A = torch.ones(2, requires_grad=True)
    loss = policy_loss(logp, old, A, torch.ones(2, 2, dtype=torch.bool), beta=0.1, ref_logp=ref)
    assert loss.dtype == torch.float32
    loss.backward()
    assert logp.grad.dtype == torch.bfloat16
    close(loss.detach(), -math.exp(0.0625), rtol=1e-6)
    assert old.grad is None
    assert ref.grad is None
    assert A.grad is None


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_far_from_the_reference_the_gradient_is_the_exact_one(loss_type):
    """−log r: the reference is at e^25, and at e^100, times the policy. A token alone, for which gspo is as the others."""
    logp = torch.tensor([[-26.0], [-101.0]], requires_grad=True)
    how = {"beta": 1.0, "ref_logp": torch.full((2, 1), -1.0)} | options(loss_type)
    loss = policy_loss(logp, logp, torch.zeros(2), torch.ones(2, 1), **how)
    length = 7 if loss_type == "dr_grpo" else 1
    wanted = torch.tensor([-25.0, -100.0]) / (2 * length)
    close(gradient(loss, [logp]), wanted, rtol=1e-6)


@pytest.mark.parametrize("kind", ["k1", "k2", "k3"])
@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_autocast_changes_nothing(loss_type, kind):
    """Inside a region of bfloat16, forward and backward, near the old policy and the reference, where digits count."""
    logp, old, A, mask, ref = (x.float() if x.is_floating_point() else x for x in batch(4))
    logp = logp.detach().requires_grad_()
    old, ref = (logp.detach() + (x - logp.detach()) * 1e-3 for x in (old, ref))
    found = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            parts = loss_parts(logp, old, A, mask, beta=0.5, ref_logp=ref, kl=kind, **options(loss_type))
            found.append([parts.loss.detach(), gradient(parts.loss, [logp]), *parts.metrics.values()])
    for plain, cast in zip(*found, strict=True):
        assert cast.dtype == torch.float32 and torch.equal(plain, cast)


X = torch.zeros(2, 3)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"loss_type": "dr_grpo"}, "dr_grpo divides by max_completion_length"),
        ({"loss_type": "dr_grpo", "max_completion_length": 0}, "it is 0"),
        ({"beta": 0.1}, "beta is 0.1, but there is no ref_logp"),
        (
            {"loss_type": "gpro"},
            r"no loss_type 'gpro'. Did you mean grpo\? There are: grpo, bnpo, dr_grpo",
        ),
        ({"loss_type": "Dr-GRPO"}, "Did you mean dr_grpo"),
        ({"loss_type": "xyz"}, "no loss_type 'xyz'. There are: grpo"),
        ({"kl": "k4"}, "unknown kind of KL estimate 'k4'; known: k1, k2, k3"),
        ({"epsilon": -0.1}, "epsilon is -0.1; it must be 0 or more"),
        ({"epsilon_high": -0.1}, "epsilon_high is -0.1"),
        ({"beta": -1.0}, "beta is -1.0"),
        ({"beta": math.nan}, "beta is nan"),
        ({"num_items": -1}, "num_items is -1"),
        ({"old_logp": torch.zeros(2, 4)}, r"old_logp has shape \(2, 4\), but logp \(2, 3\)"),
        ({"mask": torch.zeros(3, 2)}, r"mask has shape \(3, 2\), but logp \(2, 3\)"),
        ({"ref_logp": torch.zeros(2, 1)}, r"ref_logp has shape \(2, 1\), but logp \(2, 3\)"),
        ({"advantages": torch.zeros(3)}, r"advantages have shape \(3,\), but logp \(2, 3\)"),
        ({"advantages": torch.zeros(2, 3)}, r"advantages have shape \(2, 3\), but logp \(2, 3\)"),
        ({"logp": torch.zeros(3)}, r"logp has shape \(3,\); \(completions, tokens\) is needed"),
    ],
)
def test_refusals(change, says):
    arguments = {"logp": X, "old_logp": X, "advantages": torch.zeros(2), "mask": X} | change
    with pytest.raises(ValueError, match=says):
        policy_loss(**arguments)
