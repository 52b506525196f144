"""The Triton kernels of attention: interpreted where there is no GPU, and what they refuse."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lab.core.attention import attention
from lab.core.attention.flash_triton import refusal
from lab.core.trial import Refused

HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="there is no triton here")


def test_under_the_interpreter():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", HERE / "interpreted_flash_triton.py"],
        env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True, cwd=HERE.parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_what_it_lacks_is_refused_by_name():
    q = torch.zeros(1, 1, 2, 4)
    with pytest.raises(Refused, match="flash-triton runs on CUDA, not on cpu; flash and sdpa do"):
        attention(q, q, q, backend="flash-triton")
    with pytest.raises(Refused, match="flash-triton has no gradient of attn_mask; it is in standard, flash"):
        attention(q, q, q, attn_mask=torch.zeros(2, 2, requires_grad=True), backend="flash-triton")


def test_a_gpu_that_is_too_old_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    q = SimpleNamespace(
        is_cuda=True, device=torch.device("cuda", 0), dtype=torch.float16, shape=(1, 1, 2, 64)
    )
    assert refusal(q, q) == (
        "flash-triton needs compute capability 8.0 (Ampere), this GPU has 7.5; flash and sdpa do not"
    )
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    assert refusal(q, q) == ""
    q.dtype = torch.float64
    assert refusal(q, q) == "flash-triton has no float64; it is in standard, flash, sdpa"
    q.dtype, q.shape = torch.float16, (1, 1, 2, 257)
    assert refusal(q, q) == "flash-triton takes head_dim up to 256, not 257; flash has no bound"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_on_a_gpu(dtype):
    from lab.core.attention.checks.battery import check
    from lab.core.attention.checks.shapes import FURTHER, SHAPES, Shape, inputs
    from lab.core.attention.registry import by_name

    given = inputs(Shape(64, 64), dtype, "cuda")
    check(
        by_name("flash-triton"), given.q, given.k, given.v, given.options, gradients=True, shapes=(*SHAPES, *FURTHER)
    )  # fmt: skip
