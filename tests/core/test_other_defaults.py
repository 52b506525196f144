"""Whoever calls us may have set another default dtype or device: no result may depend on them."""

import ast
from pathlib import Path

import pytest
import torch

from lab.core import distill
from lab.core.attention import BACKENDS, attention, attention_decode, attention_varlen
from lab.core.distill import losses
from lab.core.grpo import group_advantages, policy_loss
from lab.core.softmax import SOFTMAXES
from lab.core.softmax.registry import TRITON, find, implementations

CORE = Path(distill.__file__).parents[1]
FILLED = {"empty", "zeros", "ones", "rand", "randn", "eye", "linspace"}
MAKERS = FILLED | {
    "full",
    "arange",
    "tensor",
    "as_tensor",
    "randint",
    "randperm",
    "tril_indices",
    "triu_indices",
}
FOLLOW = {
    "lm/operations.py",
}  # parameters and tables of a model, which is made where torch says, as torch.nn's are


def unsaid(source: str) -> list[str]:
    """The calls that make a tensor and leave its device, or the dtype of what are not whole numbers, to a default."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "torch"):
            continue
        name, said = node.func.attr, {keyword.arg for keyword in node.keywords}
        needed = {"device"} | ({"dtype"} if name in FILLED else set())
        if name in MAKERS and "out" not in said and not needed <= said:
            found.append(f"line {node.lineno}: {ast.unparse(node)}")
    return found


def test_each_tensor_that_is_made_says_its_dtype_and_device():
    files = [
        path
        for package in (
            "attention",
            "position",
            "softmax",
            "lm",
            "grpo",
            "distill",
            "power_sampling",
            "length_generalisation",
            "bitter",
            "incentivize",
            "measure",
        )
        for path in (CORE / package).rglob("*.py")
        if str(path.relative_to(CORE)) not in FOLLOW
    ]
    assert len(files) > 100
    found = {str(path.relative_to(CORE)): unsaid(path.read_text(encoding="utf-8")) for path in files}
    assert not {path: lines for path, lines in found.items() if lines}
    assert (
        len(
            unsaid(
                "import torch\ntorch.empty(3, device=d)\ntorch.arange(3)\ntorch.ones(2, dtype=t, device=d)"
            )
        )
        == 2
    )


def numbers(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


QKV = [numbers(2, 4, 70, 16), numbers(2, 2, 90, 16, seed=1), numbers(2, 2, 90, 16, seed=2)]
MASK, SLOPES, SINK = numbers(70, 90) > -0.5, numbers(4).abs(), numbers(4)
KWARGS = {
    "plain": {},
    "mask": {"attn_mask": MASK, "causal": True},
    "more": {"window_size": 20, "softcap": 2.0, "alibi_slopes": SLOPES, "return_lse": True},
    "all": {
        "sink": SINK,
        "dropout_p": 0.2,
        "dropout_seed": 3,
        "causal": True,
        "softcap": 2.0,
        "alibi_slopes": SLOPES,
    },
}
STUDENT, TEACHER = numbers(2, 6, 11), numbers(2, 6, 11, seed=1)
LOGP, ADVANTAGES = -numbers(4, 6).abs(), numbers(4)
X = numbers(3, 50)
COARSE = {"exp2-poly-3", "exp2-poly-4"}  # refuse float32
CU = torch.tensor([0, 30, 70])
CALLS = {
    f"{name}, {kwargs}": (
        lambda q, k, v, name=name, kwargs=kwargs: attention(q, k, v, **KWARGS[kwargs], backend=name),
        QKV,
    )
    for name in [*sorted(BACKENDS.keys() - {"flash-triton"}), "auto"]
    for kwargs, options in KWARGS.items()
    if name == "auto"
    or {"window_size", "sink"}.isdisjoint(options)
    or name in ("standard", "flash", "flash-numba")
}
CALLS |= {f"softmax {name}": (f, [X]) for name, f in SOFTMAXES.items() if name not in TRITON | COARSE}
CALLS |= {
    f"{output} {name}": ((lambda x, o=output, n=name, a=a: find(n, o).function(x, *a)), [X])
    for output, a in (("log-softmax", ()), ("logsumexp", ()), ("top-k", (3,)))
    for name in implementations(output)
}
CALLS |= {
    "decode": (
        lambda q, k, v: attention_decode(
            q[:, :, :1],
            k,
            v,
            lengths=torch.tensor([90, 13], device="cpu"),
            window=9,
            alibi_slopes=SLOPES,
            splits=3,
        ),
        QKV,
    ),
    "varlen": (
        lambda q, k, v: attention_varlen(
            q[0].mT.transpose(0, 2).mT,
            *(x[0].transpose(0, 1)[:70] for x in (k, v)),
            CU,
            causal=True,
            backend="flash",
        ),
        QKV,
    ),
    "advantages": (group_advantages, [ADVANTAGES, 2]),
    "policy loss": (
        lambda logp: policy_loss(logp, LOGP, ADVANTAGES, LOGP > -2, beta=0.1, ref_logp=LOGP),
        [LOGP + 0.1],
    ),
}
CALLS |= {
    name: (getattr(losses, name), [STUDENT, TEACHER])
    for name in (
        "forward_kl",
        "reverse_kl",
        "jsd",
        "skew",
        "tvd",
        "uld",
        "feature",
        "rkd_distance",
        "rkd_angle",
        "similarity",
    )
}
CALLS |= {
    "top_k": (lambda s, t: losses.top_k(s, t, k=3), [STUDENT, TEACHER]),
    "random_sampling": (lambda s, t: losses.random_sampling(s, t, n=4, generator=torch.Generator().manual_seed(0)),
                        [STUDENT, TEACHER]),
}  # fmt: skip


def everything(function, inputs):
    """The tensors that come out, and the gradients of what went in where there are some."""
    given = [
        x.clone().requires_grad_(x.is_floating_point()) if isinstance(x, torch.Tensor) else x for x in inputs
    ]
    if not torch.is_grad_enabled():
        given = inputs
    found = function(*given)
    found = list(found) if isinstance(found, tuple) else [found]
    last = [x for x in found if x.requires_grad]
    variables = [x for x in given if isinstance(x, torch.Tensor) and x.requires_grad]
    if last:
        found += torch.autograd.grad(sum(x.square().sum() for x in last), variables, allow_unused=True)
    return found


@pytest.mark.parametrize("name", CALLS)
def test_no_result_depends_on_the_default_dtype_or_device(name):
    if "numba" in name:
        pytest.importorskip("numba")
    function, inputs = CALLS[name]
    with torch.set_grad_enabled(not name.startswith("flex")):  # which has none on a CPU
        expected = everything(function, inputs)
        before = torch.get_default_dtype()
        try:
            torch.set_default_dtype(torch.float64)
            with torch.device("meta"):
                found = everything(function, inputs)
        finally:
            torch.set_default_dtype(before)
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert ours.dtype == theirs.dtype and ours.device == theirs.device
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)
