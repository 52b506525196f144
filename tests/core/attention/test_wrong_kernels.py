"""The battery is tried on attentions that are wrong as people's are: each is caught, and the message says at what."""

import math
from functools import partial

import pytest
import torch

from lab.core.attention.checks.battery import check
from lab.core.attention.checks.shapes import SHAPES, Shape, inputs
from lab.core.attention.user_function import adapted
from lab.core.trial import Wrong


def textbook(q, k, v, causal=False, scale=None, attn_mask=None, window_size=None, softcap=None, *, fault=""):
    """Plain attention, and what becomes of it with one mistake."""
    heads, queries, keys = q.shape[1], q.shape[2], k.shape[2]
    groups = heads // k.shape[1]
    if fault == "overwrites q":
        q = q.detach().mul_(1.5).div(1.5)
    shared = [
        x.repeat(1, groups, 1, 1) if fault == "heads repeated" else x.repeat_interleave(groups, 1)
        for x in (k, v)
    ]
    K, V = shared
    S = q @ K.mT
    if fault == "coarse sums":
        S = S.bfloat16().to(q.dtype)
    if fault != "no scale":
        S = S * scale
    if softcap and fault != "cap after mask":
        S = softcap * torch.tanh(S / softcap)
    shift = 0 if fault == "top-left" else keys - queries
    far = torch.arange(keys) - torch.arange(queries)[:, None] - shift
    mask = torch.ones(queries, keys, dtype=torch.bool)
    if causal:
        mask &= far <= (1 if fault == "sees the next key" else 0)
    if window_size:
        left, right = window_size
        left -= fault == "window too short"
        mask &= (far >= -left if window_size[0] >= 0 else True) & (far <= right if right >= 0 else True)
    if attn_mask is not None and fault != "mask ignored":
        if attn_mask.dtype == torch.bool:
            mask = mask & attn_mask
        else:
            S = S + attn_mask
    S = S.masked_fill(~mask, -1e9 if fault == "mean where nothing is seen" else -math.inf)
    if softcap and fault == "cap after mask":
        S = softcap * torch.tanh(S / softcap)
    if fault == "swallows NaN":
        S = S.masked_fill(S.isnan(), -math.inf)
    if fault == "drops the last key" and keys % 64:
        S = S[..., : keys // 64 * 64 or keys]
        V = V[:, :, : S.shape[-1]]
    # What is seen by nobody gives 0, as a kernel's guarded division does; NaN goes through.
    m = S.amax(-1, keepdim=True).clamp_min(torch.finfo(S.dtype).min) if S.shape[-1] else 0
    e = torch.exp(S if fault == "no maximum" else S - m)
    l = e.sum(-1, keepdim=True)  # noqa: E741
    P = e / l.masked_fill(l == 0, 1) if fault != "no maximum" else e / l.masked_fill(~mask.any(-1, True), 1)
    O = P @ V  # noqa: E741
    if fault == "wrong layout":
        return O.transpose(1, 2)
    if fault == "float32 for bfloat16":
        return (P.float() @ V.float()) if q.dtype != torch.float64 else O
    return O


class ByHand(torch.autograd.Function):
    """A backward pass by hand, of what has no mask and no groups, and what becomes of it with one mistake."""

    @staticmethod
    def forward(ctx, q, k, v, scale, fault):
        P = torch.softmax(q @ k.mT * scale, -1)
        ctx.save_for_backward(q, k, v, P)
        ctx.scale, ctx.fault = scale, fault
        return P @ v

    @staticmethod
    def backward(ctx, dO):
        q, k, v, P = ctx.saved_tensors
        dP = dO @ v.mT
        D = 0 if ctx.fault == "no D" else (dP * P).sum(-1, keepdim=True)
        dS = P * (dP - D)
        times = 1 if ctx.fault == "dK without scale" else ctx.scale
        dV = P.mT @ (dO.sign() if ctx.fault == "dV of another loss" else dO)
        return dS @ k * ctx.scale, dS.mT @ q * times, dV, None, None


def by_hand(q, k, v, scale=None, *, fault=""):
    if q.shape[1] != k.shape[1]:
        raise NotImplementedError("no grouped heads")
    return ByHand.apply(q, k, v, scale, fault)


FAULTS = {
    "no scale": r"Nq=3 Nk=3 dense d=64 float32 \(first bad row 0\): scale left out\?",
    "top-left": r"Nq=1 Nk=239 causal d=64 float32 .*causal mask aligned top-left\?",
    "sees the next key": "Nq=113 Nk=203 causal d=64 float32",
    "window too short": r"Nq=113 Nk=128 dense d=64 window=\(16, 0\) float32",
    "no maximum": "Nq=64 Nk=192 dense d=64 low float32",
    "coarse sums": "Nq=3 Nk=3 dense d=64 float32",
    "heads repeated": "Nq=300 Nk=300 causal d=64 6 heads on 2 float32",
    "mask ignored": "Nq=129 Nk=130 dense d=64 boolean mask float32",
    "cap after mask": "Nq=96 Nk=128 causal d=64 softcap=5 float32",
    "mean where nothing is seen": r"Nq=203 Nk=113 causal d=64 float32 \(first bad row 0\)",
    "drops the last key": "Nq=1 Nk=239 causal d=64 float32",
    "swallows NaN": "Nq=33 Nk=65 dense d=64 NaN in q float32: .*finite where the reference is not",
    "overwrites q": "Nq=1 Nk=1 causal d=64 float32: q was overwritten",
    "wrong layout": r"Nq=1 Nk=1 causal d=64 float32: shape \(2, 1, 2, 64\) instead of \(2, 2, 1, 64\)",
    "float32 for bfloat16": "Nq=1 Nk=1 causal d=64 bfloat16: dtype float32 instead of bfloat16",
}
OF_GRADIENTS = {
    "no D": "Nq=3 Nk=3 dense d=64 float32, gradient of q",
    "dK without scale": "Nq=3 Nk=3 dense d=64 float32, gradient of k",
    "dV of another loss": "Nq=3 Nk=3 dense d=64 float32, gradient of v",
}


def battery(function, *, dtype=torch.float32, gradients=False):
    point = inputs(Shape(2, 2, d=4), dtype)
    return check(
        adapted(function), point.q, point.k, point.v, point.options, gradients=gradients, shapes=SHAPES
    )


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_caught_at_a_case_that_is_named(fault):
    dtype = torch.bfloat16 if "bfloat16" in fault else torch.float32
    with pytest.raises(Wrong, match=FAULTS[fault]) as wrong:
        battery(partial(textbook, fault=fault), dtype=dtype)
    assert wrong.value.error > wrong.value.allowed


@pytest.mark.parametrize("fault", OF_GRADIENTS)
def test_what_is_wrong_in_a_gradient_is_caught_as_well(fault):
    with pytest.raises(Wrong, match=OF_GRADIENTS[fault]):
        battery(partial(by_hand, fault=fault), gradients=True)


def test_without_the_mistakes_both_are_right():
    found = battery(textbook, gradients=True)
    assert found["cases"] > 30 and found["error_of_allowed"] <= 1 and found["grad_error_of_allowed"] <= 1
    assert found["nan_astray"] == 0
    assert battery(by_hand, gradients=True)["cases"] > 10
    assert battery(textbook, dtype=torch.bfloat16)["cases"] > 30


def test_a_nan_that_leaks_is_counted_and_the_rest_of_that_case_is_still_judged():
    shapes = [Shape(65, 65, causal=True, nan="k")]
    point = inputs(Shape(2, 2, causal=True, d=4), torch.float32)

    def adds_its_mask(q, k, v, causal, scale, factor=1.0):
        mask = torch.full((q.shape[2], k.shape[2]), -math.inf).triu(1)
        return torch.softmax(q @ k.mT * scale + mask, -1) @ v * factor

    def at(function):
        return check(
            adapted(function), point.q, point.k, point.v, point.options, gradients=False, shapes=shapes
        )

    found = at(adds_its_mask)
    assert found["nan_astray"] == 1 and found["cases"] == 2
    with pytest.raises(Wrong, match="NaN in k"):
        at(partial(adds_its_mask, factor=1.1))
    with pytest.raises(Wrong, match="NaN in k float32: .*finite where the reference is not"):
        at(lambda q, k, v, causal, scale: adds_its_mask(q, k, v, causal, scale).nan_to_num(0))


@pytest.mark.parametrize("features", [(), ("large",), ("low",)])
def test_what_is_allowed_for_rounded_scores_bounds_what_their_rounding_does(features):
    """Each score is off by 2u of itself, up or down: the output moves, and by no more than is said."""
    from lab.core.attention.checks.rounding import of_rounded_scores

    given = inputs(Shape(33, 40, heads=1, kv_heads=1, features=features), torch.float64)
    eps = 1e-6
    S = given.q @ given.k.mT * given.options.scale
    signs = torch.randn(S.shape, generator=torch.Generator().manual_seed(2)).sign()
    expected, found = (torch.softmax(s, -1) @ given.v for s in (S, S * (1 + eps * signs)))
    moved = (found - expected).abs().max().item()
    bound = of_rounded_scores(given, torch.float32) * eps / torch.finfo(torch.float32).eps
    assert bound / 50 < moved < bound
