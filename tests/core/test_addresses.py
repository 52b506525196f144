"""Kernels that are called by address beside everything that stands between a tensor and its memory."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.autograd.forward_ad import dual_level, make_dual

pytest.importorskip("numba")

from lab.core.attention import attention
from lab.core.attention.arguments import Options
from lab.core.attention.operator import _flat, _gradients, _outputs
from lab.core.softmax import SOFTMAXES
from lab.core.softmax.numba.backend import online_log_softmax, online_logsumexp, online_topk
from lab.core.softmax.operator import _operator, topk_operator
from lab.core.trial import Refused

KWARGS = {"causal": True, "softcap": 3.0, "alibi_slopes": torch.tensor([0.5, 0.2]), "sink": torch.ones(2)}
WITHOUT_SINK = {
    "attn_mask": torch.arange(600) % 5 > 0,
    "window_size": 100,
    "dropout_p": 0.2,
    "dropout_seed": 1 << 63,
}
ATTENTION = {
    "attention": lambda x: attention(x, x, x, backend="flash-numba"),
    "attention, causal and more": lambda x: attention(x, x, x, **KWARGS, backend="flash-numba"),
    "attention, mask and more": lambda x: attention(
        x, x[..., :600, :], x[..., :600, :], **WITHOUT_SINK, backend="flash-numba"
    ),
    "log-sum-exp": lambda x: attention(x, x, x, return_lse=True, backend="flash-numba")[1],
}
CALLS = ATTENTION | {
    "softmax": lambda x: SOFTMAXES["online-numba"](x, 2),
    "log-softmax": online_log_softmax,
    "logsumexp": lambda x: online_logsumexp(x, 1),
    "top-k": lambda x: online_topk(x, 3)[0],
}


@pytest.fixture(params=CALLS)
def call(request):
    return CALLS[request.param]


def numbers(length=600, seed=0, batch=1):
    return torch.randn(batch, 2, length, 16, generator=torch.Generator().manual_seed(seed))


def with_gradient(function, x):
    """What it gives and the gradient of a loss on it."""
    x = x.detach().requires_grad_()
    y = function(x)
    return y.detach(), *torch.autograd.grad(y.square().sum(), x)


def assert_same(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_compiled_by_torch_it_gives_the_same_call_for_call(call):
    """With other numbers, other sizes, and after other calls have used the memory."""
    torch._dynamo.reset()
    compiled = torch.compile(call, backend="eager", fullgraph=True)
    for seed, length in enumerate((600, 600, 700, 650, 600)):
        x = numbers(length, seed)
        assert_same(with_gradient(compiled, x), with_gradient(call, x))


@pytest.mark.parametrize("kwargs", [{}, KWARGS], ids=["plain", "more"])
def test_auto_compiled_by_torch_once_the_kernels_are_warm(kwargs):
    for backend in ("flash-numba", "standard"):
        expected = with_gradient(lambda x, b=backend: attention(x, x, x, **kwargs, backend=b), numbers())
    torch._dynamo.reset()
    compiled = torch.compile(lambda x: attention(x, x, x, **kwargs), backend="eager")
    for _ in range(3):
        for found, true in zip(with_gradient(compiled, numbers()), expected, strict=True):
            torch.testing.assert_close(found, true, rtol=1e-4, atol=1e-4)


def test_several_at_once_are_each_by_itself(call):
    xs = torch.stack([numbers(seed=seed) for seed in range(3)])
    expected = [torch.stack(each) for each in zip(*(with_gradient(call, x) for x in xs), strict=True)]
    found = with_gradient(torch.vmap(call), xs)
    assert_same(found, expected)


def test_several_gradients_of_one_output(call):
    x = numbers().requires_grad_()
    y = call(x)
    weights = torch.randn(3, *y.shape, generator=torch.Generator().manual_seed(1))
    (found,) = torch.autograd.grad(y, x, weights, is_grads_batched=True, retain_graph=True)
    expected = [torch.autograd.grad(y, x, each, retain_graph=True)[0] for each in weights]
    torch.testing.assert_close(found, torch.stack(expected))


def test_a_trace_replays_what_was_done_and_not_its_numbers(call):
    traced = torch.jit.trace(call, numbers(), check_trace=False)
    torch.testing.assert_close(traced(numbers(seed=1)), call(numbers(seed=1)))


def test_threads_of_python_do_not_meet(call):
    inputs = [numbers(length, seed) for seed, length in enumerate((600, 64, 1300, 600, 31))]
    if call is ATTENTION["attention, mask and more"]:
        inputs = [numbers(length, seed) for seed, length in enumerate((600, 601, 1300, 600, 650))]
    expected = [with_gradient(call, x) for x in inputs]
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with ThreadPoolExecutor(5) as pool:
            for _ in range(3):
                for found, alone in zip(
                    pool.map(lambda x: with_gradient(call, x), inputs), expected, strict=True
                ):
                    assert_same(found, alone)
    finally:
        torch.set_num_threads(before)


def test_a_forward_mode_derivative_is_refused(call):
    x = numbers()
    with (
        dual_level(),
        pytest.raises(Refused, match="-numba has no forward-mode derivative; it is in (standard|online)"),
    ):
        call(make_dual(x, x))
    with pytest.raises(Refused, match="has no forward-mode derivative"):
        torch.func.jvp(call, (x,), (x,))


def test_a_derivative_by_torch_func_is_right_or_refused(call):
    x, loss = numbers(), lambda x: call(x).square().sum()
    if call in ATTENTION.values():
        with pytest.raises(
            Refused, match="flash-numba has no derivative by torch.func; it is in standard, flash"
        ):
            torch.func.grad(loss)(x)
    else:
        torch.testing.assert_close(torch.func.grad(loss)(x), with_gradient(call, x)[1])
        xs = numbers(batch=3)[:, None]
        found = torch.vmap(torch.func.grad(loss))(xs)
        torch.testing.assert_close(found, torch.stack([with_gradient(call, x)[1] for x in xs]))


@pytest.mark.parametrize("gradient", [False, True])
def test_the_operators_are_what_they_say_they_are(gradient):
    """PyTorch's own check: shapes, strides and dtypes said beforehand, nothing written over, gradients registered."""
    q, k, v = (numbers(40, seed).requires_grad_(gradient) for seed in range(3))
    options = Options(
        causal=True, scale=0.25, window_size=(20, -1), softcap=3.0, sink=torch.ones(2), alibi_slopes=torch.ones(1, 2),
        dropout_p=0.1, dropout_seed=7,
    )  # fmt: skip
    flat = _flat(options)
    torch.library.opcheck(_outputs, (q, k, v, *flat))
    torch.library.opcheck(_operator, (q, 2, "softmax", "online-numba"))
    torch.library.opcheck(_operator, (q, 1, "logsumexp", "online-numba"))
    if not gradient:
        O, L = _outputs(q, k, v, *flat)  # noqa: E741
        torch.library.opcheck(_gradients, (q, k, v, *flat, O, L, torch.ones_like(O), None))
        torch.library.opcheck(topk_operator, (q.half(), 3))
