"""A linear layer's products by every library, against float64; what stays as in `nn.Linear`."""

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lab.core.lm.model import Config, Transformer
from lab.core.lm.products import Linear, linear, made_by, product
from lab.core.measure import fastest_products
from lab.core.measure.fastest_products import ROLES, SIZES
from lab.core.measure.products import libraries

LIBRARIES = [*libraries(torch.float32)]
LAYERS = {
    "small": (1, 65, 65, 257),
    "medium": (3, 179, 65, 257),
    "large": (2, 1031, 131, 259),
    "too small": (3, 5, 17, 3),
    "one row": (1, 1, 300, 129),
}
"""Batch, length, width in, width out."""


@pytest.fixture
def by(monkeypatch):
    """Have every class of products done by one library."""

    def use(library):
        table = {
            (threads, "float32", role, size): library
            for threads in (1, 2, 3)
            for role in ROLES
            for size in SIZES
        }
        monkeypatch.setattr(fastest_products, "_in_use", table if library != LIBRARIES[0] else {})

    return use


def layer(size):
    batch, length, into, out = LAYERS[size]
    torch.manual_seed(0)
    x = torch.randn(batch, length, into, requires_grad=True)
    return x, torch.randn(out, into, requires_grad=True), torch.randn(batch, length, out)


def close(found, true, terms):
    """Within the bound of a sum of so many products in any order (Higham, 2002, eq. 3.13)."""
    value, of_sizes = true
    assert ((found.double() - value).abs() <= (terms + 1) * 2**-24 * of_sizes).all()


@pytest.mark.parametrize("strides", ["contiguous", "turned", "every other", "one gradient for all"])
@pytest.mark.parametrize("size", LAYERS)
@pytest.mark.parametrize("library", LIBRARIES)
def test_the_output_and_both_gradients_against_float64(library, size, strides, by):
    by(library)
    x, weight, g = layer(size)
    if strides == "turned":
        x = x.detach().mT.contiguous().mT.requires_grad_()
        weight = weight.detach().t().contiguous().t().requires_grad_()
    elif strides == "every other":
        x = x.detach().repeat(1, 2, 2)[:, ::2, ::2].requires_grad_()
    elif strides == "one gradient for all":
        g = g[:1, :1, :1].expand(g.shape)
    y = linear(x, weight)
    dx, dW = torch.autograd.grad(y, (x, weight), g)
    X, W, G = x.detach().double().flatten(0, 1), weight.detach().double(), g.double().flatten(0, 1)
    assert y.shape == g.shape and dx.shape == x.shape and dW.shape == weight.shape
    close(y.detach().flatten(0, 1), (X @ W.T, X.abs() @ W.abs().T), X.shape[1])
    close(dx.flatten(0, 1), (G @ W, G.abs() @ W.abs()), G.shape[1])
    close(dW, (G.T @ X, G.abs().T @ X.abs()), len(X))


@pytest.mark.parametrize("library", LIBRARIES[1:])
def test_each_library_is_called_for_its_class_and_pytorch_for_the_rest(library, monkeypatch):
    called = []
    real = libraries(torch.float32)[library]

    def counted(a, b, out):
        called.append((tuple(a.shape), tuple(b.shape)))
        return real.multiply(a, b, out)

    known = {library: type(real)(library, counted, None)}
    monkeypatch.setattr("lab.core.lm.products.libraries", lambda dtype: known)
    monkeypatch.setattr(
        fastest_products,
        "_in_use",
        {(torch.get_num_threads(), "float32", "input gradient", "large"): library},
    )
    for size in LAYERS:
        x, weight, g = layer(size)
        linear(x, weight).backward(g)
    rows, into, out = LAYERS["large"][0] * LAYERS["large"][1], *LAYERS["large"][2:]
    assert called == [((rows, out), (out, into))]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_gradient_that_is_not_needed_is_not_computed_and_a_bias_has_its_own(library, by):
    by(library)
    x, weight, g = layer("small")
    bias = torch.randn(len(weight), requires_grad=True)
    linear(x.detach(), weight.detach(), bias).backward(g)
    assert torch.allclose(bias.grad, g.sum((0, 1)), atol=1e-4)
    linear(x.detach(), weight).backward(g)
    linear(x, weight.detach()).backward(g)
    close(
        x.grad.flatten(0, 1), [t.double() for t in (g[0] @ weight, g[0].abs() @ weight.abs())], 2 * g.shape[2]
    )


@pytest.mark.parametrize("library", LIBRARIES)
def test_without_gradients_the_numbers_are_the_same(library, by):
    by(library)
    x, weight, _ = layer("medium")
    wanted = linear(x, weight).detach()
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            found = linear(x, weight)
        assert torch.equal(found, wanted) and not found.requires_grad


@pytest.mark.parametrize("library", LIBRARIES)
def test_two_threads_of_python_get_the_numbers_of_one(library, by):
    by(library)
    before = torch.get_num_threads()
    torch.set_num_threads(1)

    def gradients(seed):
        torch.set_num_threads(1)
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(600, 70, generator=generator, requires_grad=True)
        weight = torch.randn(250, 70, generator=generator, requires_grad=True)
        return torch.autograd.grad(linear(x, weight).square().sum(), (x, weight))

    try:
        alone = [gradients(seed) for seed in range(8)]
        with ThreadPoolExecutor(2) as pool:
            together = list(pool.map(gradients, range(8)))
    finally:
        torch.set_num_threads(before)
    assert all(
        torch.equal(a, b)
        for one, two in zip(alone, together, strict=True)
        for a, b in zip(one, two, strict=True)
    )


def test_other_dtypes_autocast_and_second_derivatives_without_a_library_are_pytorchs(by):
    by(LIBRARIES[-1])
    x, weight, _ = layer("medium")
    wide = x.detach().double(), weight.detach().double()
    assert torch.equal(linear(*wide), F.linear(*wide))
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(x, weight).dtype == torch.bfloat16
    by(LIBRARIES[0])
    [dx] = torch.autograd.grad(linear(x, weight).square().sum(), x, create_graph=True)
    assert torch.autograd.grad(dx.sum(), weight)[0].isfinite().all()


def test_a_layer_is_an_nn_linear_with_its_weights_and_can_be_copied(by):
    by(LIBRARIES[-1])
    torch.manual_seed(0)
    ours = Linear(70, 250)
    theirs = nn.Linear(70, 250)
    theirs.load_state_dict(ours.state_dict())
    twin = copy.deepcopy(ours)
    x = torch.randn(500, 70)
    assert torch.equal(twin(x), ours(x)) and torch.allclose(ours(x), theirs(x), atol=1e-5)
    assert type(twin) is Linear


@pytest.mark.parametrize("library", LIBRARIES[1:])
def test_a_transformer_learns_the_same_by_every_library(library, by):
    torch.manual_seed(0)
    model = Transformer(Config(vocabulary=64, context=64, d_model=64, layers=1, backend="standard"))
    ids = torch.randint(64, (16, 64))
    twin = copy.deepcopy(model)
    by(LIBRARIES[0])
    twin(ids).square().sum().backward()
    by(library)
    model(ids).square().sum().backward()
    for (name, p), q in zip(model.named_parameters(), twin.parameters(), strict=True):
        assert (p.grad - q.grad).abs().max() < 1e-4 * q.grad.abs().max(), name


def test_what_is_kept_of_a_training_is_keyed_by_what_multiplied(by):
    by(LIBRARIES[0])
    plain = made_by()
    by(LIBRARIES[-1])
    assert made_by() != plain


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("role", ["forward", "input gradient", "weight gradient"])
def test_products_by_role_of_any_strides_go_where_they_are_told(by, library, role):
    by(library)
    a, b = torch.randn(300, 800)[:, ::2], torch.randn(100, 400).t()
    exact = (a.double() @ b.double()).float()
    assert torch.allclose(product(role, a, b), exact, atol=1e-3)
    out = torch.full((300, 100), torch.nan)
    assert product(role, a, b, out) is out and torch.allclose(out, exact, atol=1e-3)
    product(role, a, b, out, accumulate=True)
    assert torch.allclose(out, 2 * exact, atol=1e-3)
