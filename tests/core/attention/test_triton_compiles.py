"""The Triton kernels of attention, compiled for an H100 where there is none: it would take them."""

import importlib.util
import re
import subprocess

import pytest

if importlib.util.find_spec("triton") is None:
    pytest.skip("there is no triton here", allow_module_level=True)

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from lab.core.attention.triton.kind import Kind
from lab.core.attention.triton.tuning import KERNELS, Sizes, sizes

HOPPER = GPUTarget("cuda", 90, 32)
OF_DTYPE = {"q", "k", "v", "o", "do", "dq", "dk", "dv", "mask"}
OF_FLOAT32 = {"lse", "delta", "slopes", "sink"}
FRACTIONS = {"scale", "cap", "share"}
EVERYTHING = Kind(
    64, 64, 64, 64, 2, CAP=True, ALIBI=True, SINK=True, DROP=True, LOW=True, HIGH=True, FOLDED=False
)


def ptxas():
    """Triton's own, as it takes it for this target; its name and place differ between versions."""
    try:
        from triton.backends.nvidia.compiler import get_ptxas

        return get_ptxas(HOPPER.arch).path
    except (ImportError, AttributeError, RuntimeError):
        pytest.skip("Triton has no ptxas here")


def compiled(name: str, kind: Kind, tiles: Sizes):
    """What Triton makes of a kernel that is called in bfloat16, addresses and lengths multiples of 16."""
    kernel = KERNELS[name]
    constants = {"KIND": kind, "BLOCK_M": tiles.BLOCK_M, "BLOCK_N": tiles.BLOCK_N}
    types, round_numbers = {}, {}
    for at, each in enumerate(kernel.arg_names):
        if each in OF_DTYPE | OF_FLOAT32:
            types[each] = "*bf16" if each in OF_DTYPE else "*fp32"
        elif each in constants:
            types[each] = "constexpr"
        else:
            types[each] = "fp32" if each in FRACTIONS else "i64" if each == "seed" else "i32"
        if types[each][0] == "*" or re.fullmatch("[qkv]_[bhn]|queries|keys", each):
            round_numbers[(at,)] = [["tt.divisibility", 16]]
    options = {"num_warps": tiles.num_warps, "num_stages": tiles.num_stages, "enable_fp_fusion": True}
    return triton.compile(ASTSource(kernel, types, constants, round_numbers), target=HOPPER, options=options)


@pytest.fixture(autouse=True)
def of_its_own(monkeypatch, tmp_path):
    """What is compiled is compiled now, and not found where an earlier run left it."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("d", [64, 128])
@pytest.mark.parametrize("causal", [False, True], ids=["dense", "causal"])
@pytest.mark.parametrize("name", KERNELS)
def test_for_an_h100_without_spills(name, causal, d, tmp_path):
    kind = Kind(d, d, d, d, HIGH=causal)
    ptx = compiled(name, kind, sizes(name, kind, torch.bfloat16)[0]).asm["ptx"]
    assert "wgmma.mma_async" in ptx and "cp.async" in ptx  # tensor cores, and copies that run ahead
    (tmp_path / "kernel.ptx").write_text(ptx)
    report = subprocess.run(
        [ptxas(), "-v", "--gpu-name=sm_90a", tmp_path / "kernel.ptx", "-o", tmp_path / "kernel.cubin"],
        capture_output=True, text=True, check=True,
    ).stderr  # fmt: skip
    assert re.search(r"\b0 bytes spill stores, 0 bytes spill loads", report), report


@pytest.mark.slow
@pytest.mark.parametrize("name", KERNELS)
def test_with_everything_at_once(name):
    compiled(name, EVERYTHING, sizes(name, EVERYTHING, torch.bfloat16)[0])
