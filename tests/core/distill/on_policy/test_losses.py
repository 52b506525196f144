"""The sampled token's loss: its gradient, its mean over the vocabulary, and pieces of a batch."""

import pytest
import torch

from lab.core.distill.losses import reverse_kl
from lab.core.distill.on_policy import sampled_token

V = 5


def logits(seed):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(4, V, dtype=torch.float64, generator=draw)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_its_mean_over_samples_is_reverse_kl(temperature):
    student, teacher = logits(0).requires_grad_(), logits(1)
    q = (student.detach() / temperature).softmax(-1)
    value, slope = 0.0, torch.zeros_like(q)
    for y in range(V):
        tokens = torch.full((4,), y)
        for row in range(4):  # each token has its own chance
            one = sampled_token(
                student[row : row + 1], teacher[row : row + 1], tokens[:1], temperature, num_items=4
            )
            value += float(q[row, y] * one.detach())
            slope += q[row, y] * torch.autograd.grad(one, student)[0]
    wanted = reverse_kl(student, teacher, temperature=temperature)
    assert value == pytest.approx(float(wanted.detach()))
    torch.testing.assert_close(slope, torch.autograd.grad(wanted, student)[0])


def test_its_gradient_is_a_policy_gradient():
    student, teacher, y = logits(0).requires_grad_(), logits(1), torch.tensor([0, 4, 2, 2])
    at = torch.arange(4), y
    log_q = student.log_softmax(-1)[at]
    advantage = (teacher.log_softmax(-1)[at] - log_q).detach()
    (wanted,) = torch.autograd.grad(-(advantage * log_q).mean(), student, retain_graph=True)
    loss = sampled_token(student, teacher.requires_grad_(), y)
    torch.testing.assert_close(torch.autograd.grad(loss, student, retain_graph=True)[0], wanted)
    assert torch.autograd.grad(loss, teacher, allow_unused=True) == (None,)
    assert float(loss.detach()) == pytest.approx(float(-advantage.mean()))


def test_pieces_of_a_batch_add_up():
    student, teacher, y = logits(0), logits(1), torch.tensor([0, 4, 2, 2])
    pieces = [sampled_token(student[p], teacher[p], y[p], num_items=4) for p in (slice(0, 1), slice(1, 4))]
    torch.testing.assert_close(sum(pieces), sampled_token(student, teacher, y))


def test_half_precision_is_computed_in_float32():
    student, teacher, y = logits(0).bfloat16(), logits(1).bfloat16(), torch.tensor([0, 4, 2, 2])
    with torch.autocast("cpu", torch.bfloat16):
        found = sampled_token(student, teacher, y)
    torch.testing.assert_close(found, sampled_token(student.float(), teacher.float(), y), rtol=0, atol=0)


def test_what_it_refuses():
    with pytest.raises(ValueError, match="vocabulary of 5, the teacher one of 4"):
        sampled_token(logits(0), logits(1)[:, :4], torch.zeros(4, dtype=torch.long))
    with pytest.raises(ValueError, match="label at example 1 is 5"):
        sampled_token(logits(0), logits(1), torch.tensor([0, 5, 0, 0]))
