"""A NaN or an infinity stays with the rows that may attend to it: in the output, the log-sum-exp and every gradient."""

import math
from dataclasses import dataclass

import pytest
import torch

from lab.core.attention import BACKENDS, attention
from lab.core.attention.flash import backend as flash_backend
from lab.core.attention.flash.tiles import Plan
from lab.core.attention.masked_products import all_finite, masked_product

EXEMPT = {
    "flash-numba",  # takes float32 alone: in test_flash_numba.py
    "flash-triton",  # refuses a CPU: in test_flash_triton.py
    "short",  # as exact as three operations of PyTorch are: 0·NaN is NaN
    "sdpa",  # PyTorch's own
    "flex",  # PyTorch's own
}
NAMES = sorted(BACKENDS.keys() - EXEMPT)
WAYS = [*((name, None) for name in NAMES), ("flash", (4, 5))]
"""Each backend in its own tiles; and flash in such as are ends of a window, a diagonal and a row."""
QUERIES, KEYS, HEADS, KV_HEADS, D, BATCH = 9, 13, 4, 2, 3, 2


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@dataclass(frozen=True)
class Masking:
    """Which keys each query may attend to (QUERIES, KEYS), and the options that say so; `key` is the bad one."""

    mask: torch.Tensor
    options: dict
    key: int


def maskings():
    rows, keys = torch.arange(QUERIES)[:, None], torch.arange(KEYS)
    far = keys - rows
    # Two blocks of rows that share few keys, so that some keys are seen by no row that sees a bad one.
    blocks = torch.where(rows < 4, keys < 7, keys >= 5) & (normal(QUERIES, KEYS, seed=8) > -0.8)
    for key, name in ((11, "seen by none"), (9, "seen by some")):
        mask = blocks.clone()
        if name == "seen by none":
            mask[:, key] = False
        mask[2] = False
        added = normal(QUERIES, KEYS, seed=9).masked_fill(~mask, -math.inf)
        yield f"boolean, {name}", Masking(mask, {"attn_mask": mask}, key)
        yield f"additive, {name}", Masking(mask, {"attn_mask": added}, key)
        both = {
            "attn_mask": added,
            "causal": True,
            "sink": normal(HEADS),
            "dropout_p": 0.2,
            "dropout_seed": 3,
        }
        yield f"everything, {name}", Masking(mask & (far <= 4), both, key)
    of_heads = mask.expand(BATCH, HEADS, -1, -1)
    yield "boolean of each head", Masking(mask, {"attn_mask": of_heads}, key)
    yield "additive with soft cap", Masking(mask, {"attn_mask": added, "softcap": 2.0}, key)
    yield "causal", Masking(far <= 4, {"causal": True}, 10)
    yield "causal, seen by none", Masking(far <= 0, {"causal": True, "align": "top-left"}, 11)
    window = {"window_size": (2, 1), "align": "top-left"}
    yield "window", Masking((far >= -2) & (far <= 1), window, 8)
    capped = window | {"softcap": 2.0, "alibi_slopes": torch.ones(HEADS)}
    yield "window with soft cap and ALiBi", Masking((far >= -2) & (far <= 1), capped, 8)


MASKS = dict(maskings())
CASES = [(h, where) for h in MASKS for where in ("kv" if h.endswith("none") else "qkv")]
BAD = {"NaN": math.nan, "inf": math.inf, "-inf": -math.inf}
HUGE = 0.9 * torch.finfo(torch.float64).max
"""Finite, but what it is multiplied with seldom is."""


def everything(name, tensors, kwargs, dO, dL):
    """Output, log-sum-exp, and the gradients of q, k, v and an added mask."""
    q, k, v = (x.clone().requires_grad_() for x in tensors)
    variables, kwargs = {"q": q, "k": k, "v": v}, dict(kwargs)
    mask = kwargs.get("attn_mask")
    if mask is not None and mask.is_floating_point():
        variables["mask"] = kwargs["attn_mask"] = mask.expand(BATCH, HEADS, -1, -1).clone().requires_grad_()
    O, L = attention(q, k, v, return_lse=True, backend=name, **kwargs)  # noqa: E741
    loss = (O * dO).sum() + (L.masked_fill(L.isneginf(), 0) * dL).sum()
    gradients = torch.autograd.grad(loss, list(variables.values()))
    return {"O": O.detach(), "L": L.detach(), **dict(zip(variables, gradients, strict=True))}


def qkv():
    lengths = ((HEADS, QUERIES), (KV_HEADS, KEYS), (KV_HEADS, KEYS))
    return [normal(BATCH, heads, length, D, seed=i) for i, (heads, length) in enumerate(lengths)]


def spoilt_by(where, row, masking):
    """Where each result may be spoilt by a bad number in the first head of the first element of the batch.

    Args:
        where: "q", a bad number in the query `row`; "k" or "v", one in the key of `masking`.
    """
    rows = torch.zeros(BATCH, HEADS, QUERIES, dtype=torch.bool)
    if where == "q":
        rows[0, 0, row] = True
    else:  # the rows of all heads that share the key, if they may attend to it
        rows[0, : HEADS // KV_HEADS] = masking.mask[:, masking.key]
    # A spoilt row spoils the gradients of all keys that it may attend to.
    rows_of_kv_heads = rows.unflatten(1, (KV_HEADS, -1)).any(2)
    keys = (rows_of_kv_heads.unsqueeze(-1) & masking.mask).any(2)
    return {"O": rows, "L": rows, "q": rows, "k": keys, "v": keys, "mask": rows.unsqueeze(-1) & masking.mask}


@pytest.mark.parametrize("bad", ["NaN", "inf"])
@pytest.mark.parametrize("masking, where", CASES)
@pytest.mark.parametrize("name, tiles", WAYS, ids=str)
def test_a_bad_number_changes_nothing_in_rows_that_may_not_attend_to_it(
    name, tiles, masking, where, bad, monkeypatch
):
    if tiles:
        monkeypatch.setattr(flash_backend, "plan", lambda *a, **k: Plan(*tiles, kv_heads=1))
    masking, row = MASKS[masking], 5
    dO, dL = normal(BATCH, HEADS, QUERIES, D, seed=5), normal(BATCH, HEADS, QUERIES, seed=6)
    good = everything(name, qkv(), masking.options, dO, dL)
    tensors = qkv()
    tensors["qkv".index(where)][0, 0, row if where == "q" else masking.key, 1] = BAD[bad]
    found = everything(name, tensors, masking.options, dO, dL)

    spoilt = spoilt_by(where, row, masking)
    for of, result in found.items():
        clean = ~spoilt[of]
        torch.testing.assert_close(result[clean], good[of][clean], msg=lambda m, of=of: f"{of}: {m}")
    if bad == "NaN":  # and it is not swallowed
        assert found["O"][spoilt["O"]].isnan().any(-1).all() and found["q"][spoilt["q"]].isnan().all()
    if where == "v":
        column = found["O"][..., 1][spoilt["O"]]  # that of the bad number
        assert not column.isfinite().any()
        assert bad == "NaN" or (column[~column.isnan()] == BAD[bad]).all()


@pytest.mark.parametrize("where", ["k", "v"])
@pytest.mark.parametrize("masking", [masking for masking in MASKS if masking.endswith("none")])
@pytest.mark.parametrize("name, tiles", WAYS, ids=str)
def test_a_masked_finite_number_whose_products_overflow_changes_nothing(
    name, tiles, masking, where, monkeypatch
):
    if tiles:
        monkeypatch.setattr(flash_backend, "plan", lambda *a, **k: Plan(*tiles, kv_heads=1))
    masking = MASKS[masking]
    for kwargs in (masking.options, masking.options | {"softcap": 2.0}):
        found = []
        for number in (0.0, HUGE):
            tensors = qkv()
            signs = torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64)  # ∞ − ∞ as well
            tensors["qkv".index(where)][:, :, masking.key] = number * signs
            dO, dL = normal(BATCH, HEADS, QUERIES, D, seed=5), normal(BATCH, HEADS, QUERIES, seed=6)
            found.append(everything(name, tensors, kwargs, dO, dL))
        for of, result in found[1].items():
            torch.testing.assert_close(result, found[0][of], msg=lambda m, of=of: f"{of}: {m}")


@pytest.mark.parametrize("name", ["flash"])  # the gradients of the others are autograd's
def test_a_bad_gradient_of_the_output_stays_with_the_keys_of_its_row(name):
    q, k, v = (normal(1, 2, 8, D, seed=i).requires_grad_() for i in range(3))
    dO = normal(1, 2, 8, D, seed=4)
    good = torch.autograd.grad(attention(q, k, v, causal=True, backend=name), (q, k, v), dO)
    dO[0, 0, 3, 0] = math.nan  # a row that sees the keys 0 to 3
    for found, expected in zip(
        torch.autograd.grad(attention(q, k, v, causal=True, backend=name), (q, k, v), dO), good, strict=True
    ):
        torch.testing.assert_close(found[0, 0, 4:], expected[0, 0, 4:])
        torch.testing.assert_close(found[0, 1], expected[0, 1])
        assert found[0, 0, 3].isnan().any()


def test_the_careful_products_are_the_plain_ones_where_nothing_is_bad():
    """And have derivatives of every order, those of the plain ones."""
    from lab.core.attention.arguments import check_options
    from lab.core.attention.standard import _mask, _textbook

    mask = MASKS["boolean, seen by some"].mask
    tensors = [
        normal(1, h, n, D, seed=h * n).requires_grad_() for h, n in ((4, QUERIES), (2, KEYS), (2, KEYS))
    ]
    options = check_options(
        *tensors[:2], causal=True, scale=None, attn_mask=mask, window_size=None, softcap=None, sink=None,
        dropout_p=0, return_lse=True, alibi_slopes=None, align="bottom-right", dropout_seed=None,
    )  # fmt: skip
    results = []
    for careful in (None, _mask(*tensors[:2], options)):
        O, _ = _textbook(*tensors, options, True, careful)  # noqa: E741
        first = torch.autograd.grad(O.square().sum(), tensors, create_graph=True)
        second = torch.autograd.grad(sum(x.square().sum() for x in first), tensors, create_graph=True)
        third = torch.autograd.grad(sum(x.square().sum() for x in second), tensors)
        results.append((O, *first, *second, *third))
    for plain, careful in zip(*results, strict=True):
        torch.testing.assert_close(plain, careful)


def test_infinities_of_both_signs_make_a_nan_and_those_of_one_stay():
    P, mask = torch.tensor([[0.5, 0.5, 0.0]]), torch.tensor([[True, True, False]])
    V = torch.tensor([[math.inf, math.inf, -math.inf], [-math.inf, 1.0, 2.0], [math.nan, math.nan, 1.0]])
    torch.testing.assert_close(
        masked_product(P, V, mask), torch.tensor([[math.nan, math.inf, -math.inf]]), equal_nan=True
    )


def test_whether_all_are_finite():
    assert all_finite() and all_finite(None, torch.zeros(0), torch.ones(3))
    assert all_finite(torch.full((9,), 6e4, dtype=torch.float16))  # whose sum is no half
    for bad in BAD.values():
        assert not all_finite(torch.ones(3), torch.tensor([1.0, bad]))
    assert not all_finite(torch.tensor([math.inf]), torch.tensor([-math.inf]))
