"""The divergences beside TRL's own, on random tensors. Skipped where there is no TRL.

TRL is not among the extras: `pip install -c constraints.txt -e '.[dev]' trl` in an environment of its own, then
`pytest tests/core/distill/losses/test_against_trl.py`. Read from and run with TRL 1.16.0. It has no factor T².
"""

import pytest
import torch

from lab.core.distill.losses import forward_kl, jsd, reverse_kl

pytest.importorskip("trl")
from trl.experimental.gkd import GKDTrainer


def batch(seed, dtype=torch.float64):
    draw = torch.Generator().manual_seed(seed)
    student, teacher = (2 * torch.randn(4, 6, 11, dtype=dtype, generator=draw) for _ in range(2))
    labels = torch.randint(11, (4, 6), generator=draw)
    labels[torch.rand(4, 6, generator=draw) < 0.3] = -100
    return student.requires_grad_(), teacher, labels


def same(ours, theirs, student, rtol=1e-11):
    torch.testing.assert_close(ours, theirs, rtol=rtol, atol=1e-13)
    one, other = (torch.autograd.grad(loss, student)[0] for loss in (ours, theirs))
    torch.testing.assert_close(one, other, rtol=rtol, atol=1e-13)


@pytest.mark.parametrize("temperature", [1.0, 0.7, 3.0])
@pytest.mark.parametrize("beta", [0, 0.1, 0.5, 0.9, 1])
def test_generalized_jsd(beta, temperature):
    student, teacher, labels = batch(0)
    ours = jsd(student, teacher, labels != -100, temperature, beta=beta)
    theirs = GKDTrainer.generalized_jsd_loss(student, teacher, labels, beta, temperature)
    same(ours, temperature**2 * theirs, student)


def test_its_ends_are_the_two_kl():
    student, teacher, labels = batch(1)
    for loss, beta in ((forward_kl, 0), (reverse_kl, 1)):
        theirs = GKDTrainer.generalized_jsd_loss(student, teacher, labels, beta)
        same(loss(student, teacher, labels != -100), theirs, student)


def test_pieces_of_a_batch():
    student, teacher, labels = batch(2)
    items = (labels != -100).sum()
    pieces = slice(0, 1), slice(1, 4)
    ours = sum(jsd(student[p], teacher[p], labels[p] != -100, num_items=float(items)) for p in pieces)
    theirs = sum(
        GKDTrainer.generalized_jsd_loss(student[p], teacher[p], labels[p], num_items_in_batch=items)
        for p in pieces
    )
    same(ours, theirs, student)


def test_a_batch_without_a_token():
    student, teacher, labels = batch(3)
    labels[:] = -100
    same(
        jsd(student, teacher, labels != -100),
        GKDTrainer.generalized_jsd_loss(student, teacher, labels),
        student,
    )
