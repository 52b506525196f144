"""Gradients of on-policy distillation, by listing every sequence of a language of three tokens, in float64."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import pytest
import torch
from torch import nn

from lab.core.distill.on_policy import distill_step
from lab.core.distill.on_policy.bias.enumeration import compare, gradients, sequence_kl_gradient
from lab.core.lm.scoring import Sequences

V, LENGTH = 3, 3


def table(seed):
    return torch.randn(V + 1, V, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def log_q(logits, y):
    """Of one sequence, token by token."""
    before = [V, *y[:-1]]
    return torch.stack([logits[b].log_softmax(-1)[token] for b, token in zip(before, y, strict=True)])


def sequence_kl(student, teacher, length):
    return sum(
        log_q(student, y).sum().exp() * (log_q(student, y) - log_q(teacher, y)).sum()
        for y in product(range(V), repeat=length)
    )


@pytest.mark.parametrize("length", [1, 2, 3])
def test_the_gradient_of_the_sequences_kl(length):
    student, teacher = table(0), table(1)
    found = sequence_kl_gradient(student, teacher, length)
    for at in product(range(V + 1), range(V)):
        step = torch.zeros_like(student)
        step[at] = 1e-5
        slope = sequence_kl(student + step, teacher, length) - sequence_kl(student - step, teacher, length)
        assert float(found[at]) == pytest.approx(float(slope) / 2e-5 / length, abs=1e-9)


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_means_and_variances(length):
    student, teacher = table(0), table(1)
    found = {
        name: compare(name, student, teacher, length)
        for name in ("full", "token", "token-baseline", "return")
    }
    for name in ("token", "token-baseline"):
        assert found[name].from_full == 0
        assert found[name].bias == pytest.approx(found["full"].bias, abs=1e-12)
        assert found[name].variance > found["full"].variance
    assert found["return"].bias == 0 and found["return"].cosine == pytest.approx(1)
    assert (found["full"].bias == 0) == (length == 1)
    assert compare("return", student, teacher, length, discount=0) == found["token"]


def test_each_sequences_gradient():
    """Written out for each sequence, by autograd through its own graph."""
    student, teacher = table(2).requires_grad_(), table(3)
    sequences = list(product(range(V), repeat=LENGTH))
    for name, discount in (("full", 1.0), ("token", 1.0), ("token-baseline", 1.0), ("return", 0.7)):
        chances, found = gradients(name, student, teacher, LENGTH, discount)
        assert float(chances.sum()) == pytest.approx(1)
        for y, chance, gradient in zip(sequences, chances, found, strict=True):
            own, before = log_q(student, y), [V, *y[:-1]]
            r = (own - log_q(teacher, y)).detach()
            q = student[before].log_softmax(-1)
            kl = (q.exp() * (q - teacher[before].log_softmax(-1))).sum(-1)
            R = [sum(discount ** (s - t) * r[s] for s in range(t, LENGTH)) for t in range(LENGTH)]
            loss = {
                "full": kl.sum(),
                "token": (r * own).sum(),
                "token-baseline": ((r - kl.detach()) * own).sum(),
                "return": (torch.stack(R) * own).sum(),
            }[name]
            (wanted,) = torch.autograd.grad(loss / LENGTH, student)
            torch.testing.assert_close(gradient, wanted, rtol=1e-10, atol=1e-13)
            assert float(chance) == pytest.approx(float(own.detach().sum().exp()))


class Table(nn.Module):
    """A model whose next token depends on the last one alone; token V is the prompt."""

    @dataclass(frozen=True)
    class Shape:
        context: int = 8

    config = Shape()

    def __init__(self, logits):
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(logits, freeze=False)

    def hidden(self, ids, cache=None):
        return self.embedding(ids)

    def logits(self, hidden):
        return hidden


@pytest.mark.parametrize(("loss", "estimator"), [("reverse_kl", "full"), ("token", "token")])
def test_a_step_makes_these_gradients(loss, estimator):
    student, teacher = table(4), table(5)
    chances, wanted = gradients(estimator, student, teacher, LENGTH)
    total = torch.zeros_like(student)
    for y, chance, gradient in zip(product(range(V), repeat=LENGTH), chances, wanted, strict=True):
        one = Table(student.clone())
        ids = torch.tensor([[V, *y]])
        sequence = Sequences(ids, torch.tensor([1]), torch.tensor([LENGTH]), torch.tensor([0]))
        sgd = torch.optim.SGD(one.parameters(), lr=1.0)
        distill_step(one, Table(teacher), sequence, sgd, loss=loss, max_grad_norm=1e9)
        moved = student - one.embedding.weight.detach()
        torch.testing.assert_close(moved, gradient, rtol=1e-10, atol=1e-13)
        total += chance * moved
    mean = torch.tensordot(*gradients("full", student, teacher, LENGTH), 1)
    torch.testing.assert_close(total, mean, rtol=1e-10, atol=1e-13)
