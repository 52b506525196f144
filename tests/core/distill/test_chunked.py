"""A loss by chunks of documents is the loss of the whole batch, with its gradients."""

import pytest
import torch

from lab.core.distill import chunked
from lab.core.distill.losses import forward_kl, hard_data


@pytest.mark.parametrize("most", [1, 7 * 11 * 2, 7 * 11 * 5, 10**6], ids=str)
def test_chunks_add_up(monkeypatch, most):
    normal = torch.Generator().manual_seed(0)
    hidden, head, teacher = (
        torch.randn(*shape, generator=normal) for shape in ((5, 7, 3), (11, 3), (5, 7, 11))
    )
    labels = torch.randint(11, (5, 7), generator=normal)
    seen = []

    def loss_of(logits, which):
        seen.append(len(logits))
        soft = forward_kl(logits, teacher[which], num_items=35)
        return 0.5 * hard_data(logits, labels[which], num_items=35) + soft

    found = []
    monkeypatch.setattr(chunked, "LOGITS", most)
    for by_chunks in (True, False):
        given = [x.clone().requires_grad_() for x in (hidden, head)]
        if by_chunks:
            loss = chunked.loss_by_chunks(*given, loss_of)
        else:
            loss = loss_of(given[0] @ given[1].T, slice(None))
        found.append([loss.detach(), *torch.autograd.grad(3 * loss, given)])
    assert seen[:-1] == {1: [1] * 5, 154: [2, 2, 1], 385: [5], 10**6: [5]}[most]
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-6)
