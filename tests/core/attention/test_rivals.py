"""What packages of others are told: they are called in their layout, by the arguments that they publish."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from lab.core.attention import rivals
from lab.core.attention.arguments import Options
from lab.core.attention.checks.shapes import Shape, inputs
from lab.core.attention.standard import standard
from lab.core.trial import Refused


def as_published(
    q: Any, k: Any, v: Any, dropout_p: float = 0.0, softmax_scale: float | None = None, causal: bool = False,
    window_size: tuple[int, int] = (-1, -1), softcap: float = 0.0, alibi_slopes: Any = None,
) -> Any:  # fmt: skip
    """The signature and the conventions of flash_attn_func; inside, PyTorch in its place."""
    assert (dropout_p, softcap, alibi_slopes) == (0.0, 0.0, None)
    i, j = torch.arange(q.shape[1])[:, None] + k.shape[1] - q.shape[1], torch.arange(k.shape[1])
    left, right = (1 << 40 if side < 0 else side for side in window_size)
    mask = (j >= i - left) & (j <= (i if causal else i + right))
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=softmax_scale, enable_gqa=True)
    return out.transpose(1, 2)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("flash_attn")
    package.flash_attn_func = as_published  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "flash_attn", package)
    monkeypatch.setattr(rivals, "_refuse", lambda *given: None)


@pytest.mark.parametrize(
    "shape",
    [Shape(5, 9, causal=True, heads=6, kv_heads=2), Shape(9, 9, window=(3, 0)), Shape(4, 7, d=32)],
    ids=str,
)
def test_it_is_told_what_is_asked(installed: None, shape: Shape) -> None:
    given = inputs(shape, torch.float32)
    found = rivals.rival("flash_attn")(given.q, given.k, given.v, given.options)
    expected, _ = standard(given.q, given.k, given.v, given.options)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", rivals.RIVALS)
def test_without_package_or_gpu_it_is_refused(name: str) -> None:
    given = inputs(Shape(3, 3), torch.bfloat16)
    with pytest.raises(Refused, match="CUDA|not installed"):
        rivals.rival(name)(given.q, given.k, given.v, Options(causal=False, scale=0.1))
