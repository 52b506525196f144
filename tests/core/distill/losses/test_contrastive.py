"""Contrastive representation distillation against a loop over pairs, and where it is least."""

import math

import pytest
import torch

from lab.core.distill.losses import crd
from lab.core.distill.losses.features import linear_projector


def normal(seed, *shape):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


S, T = normal(2, 3, 4), normal(3, 5, 4)
PROJECTORS = {"student_projector": lambda x: x @ S, "teacher_projector": lambda x: x @ T}


def by_loops(s, t, tau, labels=None):
    """h of every pair, c the strangers of a position on average times the mean of e^s over directions at random."""
    u, v = ([row / row.norm() for row in x] for x in (s @ S, t @ T))
    n = len(u)
    score = [[u[i] @ v[j] / tau for j in range(n)] for i in range(n)]
    pairs = [(i, j) for i in range(n) for j in range(n)]
    strangers = [(i, j) for i, j in pairs if (i != j if labels is None else labels[i] != labels[j])]
    c = len(strangers) / n * math.exp(1 / (2 * u[0].numel() * tau**2))
    total = -sum((score[i][i].exp() / (score[i][i].exp() + c)).log() for i in range(n))
    total = total - sum((c / (score[i][j].exp() + c)).log() for i, j in strangers)
    return total / n


@pytest.mark.parametrize("labels", [None, [[0, 1, 1], [2, 0, 3]]])
def test_it_is_what_the_paper_says(labels):
    student, teacher = normal(0, 2, 3, 3).requires_grad_(), normal(1, 2, 3, 5)
    given = None if labels is None else torch.tensor(labels)
    found = crd(student, teacher, labels=given, tau=0.5, **PROJECTORS)
    flat = None if labels is None else given.flatten().tolist()
    expected = by_loops(student.flatten(0, 1), teacher.flatten(0, 1), 0.5, flat)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, student)[0], torch.autograd.grad(expected, student)[0]
    )


def test_its_own_partner_is_what_a_state_comes_to():
    """Trained with its projectors it names the partner of every state; the same states in another order do not."""
    gen = torch.Generator().manual_seed(0)
    teacher = torch.randn(32, 6, generator=gen)
    student = torch.randn(32, 6, generator=gen).requires_grad_()
    modules = linear_projector(6, 8, generator=gen), linear_projector(6, 8, generator=gen)
    optimizer = torch.optim.Adam([student, *modules[0].parameters(), *modules[1].parameters()], lr=0.05)

    def loss(states):
        return crd(states, teacher, student_projector=modules[0], teacher_projector=modules[1])

    before = loss(student).item()
    for _ in range(150):
        optimizer.zero_grad()
        loss(student).backward()
        optimizer.step()
    after = loss(student).item()
    u, v = (
        torch.nn.functional.normalize(m(x), dim=-1) for m, x in zip(modules, (student, teacher), strict=True)
    )
    assert bool(((u @ v.T).argmax(-1) == torch.arange(32)).all())
    assert after < before / 2 and float(loss(student.detach()[torch.randperm(32, generator=gen)])) > 3 * after


def test_masked_and_alone_and_drawn():
    student, teacher = normal(0, 1, 6, 3), normal(1, 1, 6, 5)
    mask = torch.tensor([[1, 0, 1, 1, 0, 1]])
    labels = torch.tensor([[0, 9, 1, 0, 9, 2]])
    masked = teacher.masked_fill(mask[..., None] == 0, math.nan)
    found = crd(student, masked, mask, labels=labels, **PROJECTORS)
    kept = mask[0] != 0
    torch.testing.assert_close(
        found, crd(student[:, kept], teacher[:, kept], labels=labels[:, kept], **PROJECTORS)
    )
    # A state alone has no strangers and nothing to learn.
    one = student[:, :1].clone().requires_grad_()
    nothing = crd(one, teacher[:, :1], **PROJECTORS)
    assert nothing == 0 and not torch.autograd.grad(nothing, one)[0].any()
    draws = [
        crd(student, teacher, points=3, generator=torch.Generator().manual_seed(s), **PROJECTORS)
        for s in (0, 0, 1)
    ]
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"tau": 0.0}, "tau is 0; it must be above 0 and finite"),
        ({"points": 1}, "points is 1; 2 is the least"),
        (
            {"labels": torch.zeros(1, 5, dtype=torch.long)},
            r"labels have shape \(1, 5\), the states \(1, 6, 3\)",
        ),
    ],
)
def test_what_cannot_be(changes, message):
    with pytest.raises(ValueError, match=message):
        crd(normal(0, 1, 6, 3), normal(1, 1, 6, 5), **PROJECTORS | changes)
    with pytest.raises(ValueError, match="teacher_hidden is not finite"):
        crd(normal(0, 1, 6, 3), torch.full((1, 6, 5), math.nan, dtype=torch.float64), **PROJECTORS)
