"""The estimators of KL(π‖π_ref): their exact expectations over enumerated policies, and those of their gradients."""

import math
from itertools import product

import pytest
import torch

from lab.core.grpo.kl import kl_in_loss, per_token_kl

V = 3
KINDS = ["k1", "k2", "k3"]


def logits(seed, *shape):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def sequences(first, second):
    """log-probs (9, 2) of both tokens of all sequences: logits (3,) of the first, (3, 3) of the second after it."""
    one = first.log_softmax(0).repeat_interleave(V)
    two = second.log_softmax(1).flatten()
    return torch.stack([one, two], 1)


def policy(seed):
    return [logits(seed, V).requires_grad_(), logits(seed + 1, V, V).requires_grad_()]


PI, OLD, REF = policy(0), policy(10), policy(20)


def gradient(value, of=None):
    return torch.cat([g.flatten() for g in torch.autograd.grad(value, of or PI)])


def whole(parameters):
    """log-probs (9,) of whole sequences: each sequence one token of a vocabulary of nine."""
    return sequences(*parameters).sum(1)


def kl(p, q):
    return (p.exp() * (p - q)).sum()


def expected(kind, old, estimate):
    """E over y ~ old of an estimate of whole sequences."""
    p = whole(old).detach().exp()
    return (p * estimate(kind)).sum()


def plain(kind):
    return per_token_kl(whole(PI), whole(REF), kind)


def corrected(old):
    return lambda kind: kl_in_loss(whole(PI), whole(old), whole(REF), kind)


TRUE = kl(whole(PI), whole(REF).detach())
BACKWARDS = kl(whole(REF).detach(), whole(PI))


@pytest.mark.parametrize("kind", ["k1", "k3"])
def test_k1_and_k3_are_unbiased(kind):
    torch.testing.assert_close(expected(kind, PI, plain), TRUE, rtol=1e-13, atol=0)
    for old in (PI, OLD):
        torch.testing.assert_close(expected(kind, old, corrected(old)), TRUE, rtol=1e-13, atol=0)


def test_k2_is_biased_and_k3_is_never_negative():
    assert abs(expected("k2", PI, plain) - TRUE) > 0.01
    assert (plain("k1") < 0).any()
    assert (plain("k2") >= 0).all()
    assert (plain("k3") >= 0).all()


@pytest.mark.parametrize("old", [PI, OLD], ids=["on-policy", "off-policy"])
@pytest.mark.parametrize("kind", KINDS)
def test_in_the_loss_every_kind_has_the_gradient_of_kl(kind, old):
    torch.testing.assert_close(
        gradient(expected(kind, old, corrected(old))),
        gradient(kl(whole(PI), whole(REF).detach())),
        rtol=1e-12,
        atol=1e-14,
    )


@pytest.mark.parametrize(("kind", "truth"), [("k1", 0 * TRUE), ("k2", TRUE), ("k3", BACKWARDS)], ids=KINDS)
def test_as_it_is_each_kind_has_the_gradient_that_the_table_says(kind, truth):
    of = torch.autograd.grad(truth, PI, retain_graph=True)
    wanted = torch.cat([g.flatten() for g in of])
    torch.testing.assert_close(gradient(expected(kind, PI, plain)), wanted, rtol=1e-12, atol=1e-14)
    kl_gradient = torch.cat([g.flatten() for g in torch.autograd.grad(TRUE, PI, retain_graph=True)])
    assert (kind == "k2") == torch.allclose(wanted, kl_gradient, rtol=1e-3)


def test_plain_k2_has_another_gradient_off_policy():
    found = gradient(expected("k2", OLD, plain))
    kl_gradient = torch.cat([g.flatten() for g in torch.autograd.grad(TRUE, PI, retain_graph=True)])
    assert (found - kl_gradient).abs().max() > 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_token_by_token_it_is_the_kl_after_each_prefix(kind):
    """The prefixes being drawn from π_old, and that they are drawn left out of the gradient, as the docstring says."""
    p = whole(OLD).detach().exp()
    tokens = kl_in_loss(*(sequences(*each) for each in (PI, OLD, REF)), kind)
    found = gradient((p.unsqueeze(1) * tokens).sum())
    reached = OLD[0].detach().softmax(0)
    first = kl(PI[0].log_softmax(0), REF[0].detach().log_softmax(0))
    after = [kl(a, b) for a, b in zip(PI[1].log_softmax(1), REF[1].detach().log_softmax(1), strict=True)]
    wanted = gradient(first + (reached * torch.stack(after)).sum())
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-14)


def test_by_hand():
    """π ½, π_ref ¼, π_old ⅓."""
    p, r, o = torch.tensor([0.5, 0.25, 1 / 3], dtype=torch.float64).log().unbind()
    log2 = torch.tensor(2.0, dtype=torch.float64).log()
    by_hand = {"k1": log2, "k2": log2**2 / 2, "k3": 0.5 - 1 + log2}
    for kind, value in by_hand.items():
        torch.testing.assert_close(per_token_kl(p, r, kind), value)
        torch.testing.assert_close(kl_in_loss(p, o, r, kind), 1.5 * value)


def test_k3_keeps_its_digits_close_to_the_reference():
    gap = torch.tensor([1e-3, 1e-4], dtype=torch.float32)
    p = torch.zeros(2, dtype=torch.float32)
    torch.testing.assert_close(per_token_kl(p, p + gap), gap.square() / 2, rtol=1e-3, atol=0)


def test_only_the_policy_is_learned():
    p, o, r = (torch.zeros(2, requires_grad=True) for _ in range(3))
    for kind in KINDS:
        kl_in_loss(p, o, r, kind).sum().backward()
    assert o.grad is None
    assert r.grad is None


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match="unknown kind of KL estimate 'k4'; known: k1, k2, k3"):
        per_token_kl(torch.zeros(1), torch.zeros(1), "k4")


FAR = [0.0, -0.01, -1.0, -26.0, -60.0, -90.0, -110.0, -150.0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("old", [None, 0.0, -0.01, -1.0, -26.0, -60.0])
def test_far_from_the_reference_value_and_gradient_are_exact(kind, old):
    """In float32 against float64, whatever overflows on the way. Without an old policy it is the policy itself."""
    logp, ref = torch.tensor(list(product(FAR, FAR))).unbind(1)
    before = logp if old is None else torch.full_like(logp, old)
    log_w, log_r = (x.double() for x in (logp - before, ref - logp))
    w = log_w.exp()
    value = {"k1": -w * log_r, "k2": w * log_r.square() / 2, "k3": (log_w + log_r).exp() - w - w * log_r}[
        kind
    ]
    slope = {"k1": w - w * log_r, "k2": -w * log_r, "k3": -w * log_r}[kind]

    policy = logp.clone().requires_grad_()
    found = kl_in_loss(policy, before, ref, kind)
    for ours, exact in ((found.detach(), value), (torch.autograd.grad(found.sum(), policy)[0], slope)):
        # Numbers below the least that float32 has at full precision become 0; those above the largest, infinite.
        size = exact.abs()
        inside = (size < torch.finfo(torch.float32).max) & (size > 1e-30)
        torch.testing.assert_close(ours[inside].double(), exact[inside], rtol=2e-5, atol=0)
        assert not ours.isnan().any()
        assert (ours[size <= 1e-30].abs() <= 1e-6).all()
        assert (ours[size >= torch.finfo(torch.float32).max].abs() == math.inf).all()
