"""The Triton kernels: interpreted where there is no GPU, and what they say of other devices."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lab.core.softmax import SOFTMAXES
from lab.core.trial import Refused

HERE = Path(__file__).parent
NAMES = ["safe-triton", "online-triton", "two-pass-triton"]


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="there is no triton here")
def test_under_the_interpreter():
    # Triton's own functions are made for the interpreter or for a GPU when it is imported, once for a process.
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", str(HERE / "interpreted_triton.py")],
        env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True, cwd=HERE.parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout and "skipped" not in done.stdout


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="there is no triton here")
def test_they_compile_for_a_gpu_that_is_not_here(tmp_path):
    code = (
        "import triton, triton.language as tl\n"
        "from triton.backends.compiler import GPUTarget\n"
        "from triton.compiler import ASTSource\n"
        "from lab.core.softmax.triton import kernels\n"
        "for kernel in (kernels.safe, kernels.online, kernels.two_pass):\n"
        "    for dtype in ('fp32', 'bf16'):\n"
        "        types = {'x': '*' + dtype, 'y': '*' + dtype, 'columns': 'i32', 'x_stride': 'i64', 'y_stride': 'i64'}\n"
        "        constants = {'BLOCK': 8192, 'FITS': False, 'WORK': tl.float32}\n"
        "        source = ASTSource(kernel, types | dict.fromkeys(constants, 'constexpr'), constants)\n"
        "        made = triton.compile(source, GPUTarget('cuda', 90, 32), {'num_warps': 16})\n"
        "        assert '.local' not in made.asm['ptx'], 'registers are spilt'\n"
        "        print(kernel.__name__, dtype)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment | {"TRITON_CACHE_DIR": str(tmp_path)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert len(done.stdout.splitlines()) == 6, done.stderr[-2000:]


@pytest.mark.parametrize("name", NAMES)
def test_on_the_cpu_they_refuse(name):
    with pytest.raises(Refused, match=f"softmax {name} works on CUDA, not on cpu"):
        SOFTMAXES[name](torch.zeros(2, 3))


def test_without_triton_the_message_says_what_to_install():
    code = (
        "import sys; sys.modules['triton'] = None\n"
        "import torch; from lab.core.softmax import SOFTMAXES\n"
        "try: SOFTMAXES['safe-triton'](torch.zeros(2, 3))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "Refused softmax safe-triton needs triton: pip install triton"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_on_a_gpu(name, dtype):
    from lab.core.softmax.battery import Task, check

    for rows, columns in ((3, 130), (64, 8193), (2, 300_001)):
        x = torch.randn(rows, columns, device="cuda").to(dtype)
        check(Task("softmax", 1, SOFTMAXES[name]), x, stable=True)
