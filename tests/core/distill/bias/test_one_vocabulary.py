"""Minimisers and gradients of losses, found again by enumeration and by optimisation, in float64."""

from itertools import product
from math import factorial, prod

import pytest
import torch

from lab.core.distill.bias.minimisers import DRAWN, Settings, loss, minimiser
from lab.core.distill.bias.names import ONE
from lab.core.distill.bias.one_vocabulary import at_student, at_truth, gradient
from lab.core.distill.losses import Sampled, forward_kl, hard_data, random_sampling, top_k

V, K = 6, 2
SETTINGS = Settings(k=K, n=3)


@pytest.fixture
def log_p():
    generator = torch.Generator().manual_seed(0)
    return (2 * torch.randn(1, 3, V, generator=generator, dtype=torch.float64)).log_softmax(-1)


@pytest.fixture
def student():
    return torch.randn(1, 3, V, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def library(name, log_p):
    labels = torch.zeros(log_p.shape[:-1], dtype=torch.int64)
    return loss(name, SETTINGS, labels, torch.Generator().manual_seed(0))


def by_label(name, student, log_p):
    """(1, tokens, V): the gradient, averaged over every label with its probability."""
    found = torch.zeros_like(log_p)
    for y in range(V):
        labels = torch.full(log_p.shape[:-1], y)

        def one(q, p, labels=labels):
            return (
                top_k(q, p, k=K, rest="truth", labels=labels)
                if name == "top-k-truth"
                else hard_data(q, labels)
            )

        found += log_p[..., y : y + 1].exp() * gradient(one, student, log_p)
    return found


def by_draws(student, log_p):
    """The same over every outcome of three draws."""
    found = torch.zeros_like(log_p)
    for counts in product(range(4), repeat=V):
        if sum(counts) == 3:
            ways = factorial(3) / prod(map(factorial, counts))
            chance = ways * (log_p * torch.tensor(counts)).sum(-1, keepdim=True).exp()
            ids = torch.arange(V).expand(log_p.shape)
            drawn = Sampled(ids, torch.tensor(counts).expand(log_p.shape), V)
            found += chance * gradient(lambda q, _, drawn=drawn: random_sampling(q, drawn), student, log_p)
    return found


@pytest.mark.parametrize("name", ["data", "draw", "top-k-truth", "sampled"])
def test_the_mean_gradient_of_a_stochastic_loss_is_that_of_its_minimiser(name, log_p, student) -> None:
    mean = by_draws(student, log_p) if name == "sampled" else by_label(name, student, log_p)
    expected = student.softmax(-1) - minimiser(name, log_p, SETTINGS).exp()
    torch.testing.assert_close(mean, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["data", "draw", "sampled"])
def test_averages_to_the_full_gradient(name, log_p, student) -> None:
    mean = by_draws(student, log_p) if name == "sampled" else by_label(name, student, log_p)
    torch.testing.assert_close(mean, gradient(forward_kl, student, log_p), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", sorted(set(ONE) - set(DRAWN) - {"tvd", "top-k-tail"}))
def test_optimisation_ends_at_the_minimiser(name, log_p, student) -> None:
    logits = student.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([logits], max_iter=500, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        value = library(name, log_p)(logits, log_p)
        value.backward()
        return value

    optimiser.step(closure)
    expected = minimiser(name, log_p, SETTINGS).exp()
    torch.testing.assert_close(logits.detach().softmax(-1), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["tvd", "top-k-tail"])
def test_no_student_is_lower_than_the_truth(name, log_p) -> None:
    others = torch.randn(200, 3, V, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = library(name, log_p)
    assert all(found(each[None], log_p) >= found(log_p, log_p) - 1e-15 for each in others)


@pytest.mark.parametrize(
    "name", ["forward-kl", "reverse-kl", "jsd", "skew", "tvd", "top-k-tail", "data", "sampled"]
)
def test_the_truth_is_at_rest(name, log_p) -> None:
    found = at_truth(name, library(name, log_p), log_p, SETTINGS)
    assert found.bias == 0 and found.pull <= 1e-9


@pytest.mark.parametrize("name", ["argmax", "top-k", "top-k-truth"])
def test_bias_is_what_the_loss_is_lower_by(name, log_p) -> None:
    """For cross-entropy with a target t: L(p) − L(t) = KL(t‖p), and the pull is the total variation between them."""
    t = minimiser(name, log_p, SETTINGS).exp()
    torch.testing.assert_close(t.sum(-1), torch.ones(1, 3, dtype=torch.float64))
    bias = (t * (t.clamp(min=1e-300).log() - log_p)).sum(-1).mean()
    found = at_truth(name, library(name, log_p), log_p, SETTINGS)
    assert found.bias == pytest.approx(float(bias), abs=1e-12) and found.bias > 0.01
    assert found.pull == pytest.approx(float((log_p.exp() - t).abs().sum(-1).mean() / 2), abs=1e-12)


def test_top_k_of_the_whole_vocabulary_has_no_bias(log_p) -> None:
    settings = Settings(k=V)
    labels = torch.zeros(1, 3, dtype=torch.int64)
    whole = loss("top-k", settings, labels, torch.Generator())
    found = at_truth("top-k", whole, log_p, settings)
    assert found.bias < 1e-12 and found.pull < 1e-12


def test_gradients_are_compared_as_a_table(log_p) -> None:
    before = torch.tensor([[4, 1, 4]])
    assert at_student(forward_kl, log_p, before).angle == 0
    twice = at_student(lambda q, p: 2 * forward_kl(q, p), log_p, before)
    assert (twice.angle, twice.norm) == (0, pytest.approx(2))
    opposite = at_student(lambda q, p: -forward_kl(q, p), log_p, before)
    assert opposite.angle == 180
    # By hand: the positions after token 4 share a row, and q − p of the two is added up before it is measured.
    p = log_p[0].exp()
    q = p.mean(0)
    t = minimiser("argmax", log_p, SETTINGS)[0].exp()
    full = torch.cat([2 * q - p[0] - p[2], q - p[1]])
    other = torch.cat([2 * q - t[0] - t[2], q - t[1]])
    found = at_student(library("argmax", log_p), log_p, before)
    cosine = float(torch.cosine_similarity(full, other, dim=0))
    assert found.norm == pytest.approx(float(other.norm() / full.norm()), rel=1e-5)
    assert torch.cos(torch.tensor(found.angle).deg2rad()).item() == pytest.approx(cosine, abs=1e-3)


def test_the_best_table_is_at_rest_under_forward_kl(log_p) -> None:
    """Whoever has learnt all that a table can has nothing more to learn: the gradient goes to 0 in proportion."""
    before = torch.tensor([[4, 1, 4]])

    def length(learnt):
        return at_student(lambda q, p: q.sum(), log_p, before, learnt).norm

    assert length(0.999) > 100 * length(0.0)
