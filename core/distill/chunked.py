"""A loss of logits, and its gradients, some documents at a time, so that the logits of a whole batch are never in memory.

With a vocabulary of thousands, logits are the largest tensor of a step: here they are made of hidden states, compared
with the teacher's and turned into gradients while they are in a cache, and their memory is that of a chunk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..lm.products import product

LOGITS = 1 << 23
"""Of a chunk: 32 MB in float32, and as much for the teacher's. A chunk has a document at least. With V = 8,192 and documents
of 255 tokens, chunks of one document took 1.12 times as long as a whole batch of eight, and chunks of four 0.97 times: products
of few rows are slower, and each chunk passes over the head's gradient."""

LossOf = Callable[[Tensor, slice], Tensor]
"""(logits (documents, tokens, V), which documents) → their share of the loss of the batch, a scalar. The logits are its own."""


def loss_by_chunks(hidden: Tensor, head: Tensor, loss_of: LossOf) -> Tensor:
    """Σ loss_of(hidden · headᵀ) over chunks of documents; differentiable once.

    Args:
        hidden: (documents, tokens, d), on the CPU; head: (V, d).
        loss_of: differentiable; the losses of all chunks sum to that of the batch.
    """
    documents, tokens, _ = hidden.shape
    most = max(1, LOGITS // max(1, tokens * len(head)))
    parts = [slice(first, first + most) for first in range(0, documents, most)]
    loss: Tensor = _ByChunks.apply(hidden, head, loss_of, parts)  # type: ignore[no-untyped-call]
    return loss


class _ByChunks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, loss_of: LossOf, parts: list[slice]) -> Tensor:
        documents, tokens, d = hidden.shape
        of_hidden, of_head = torch.empty_like(hidden), torch.zeros_like(head)
        total = hidden.new_zeros(())
        for part in parts:
            x = hidden[part].reshape(-1, d)
            logits = product("forward", x, head.T).view(-1, tokens, len(head)).requires_grad_()
            with torch.enable_grad():
                loss = loss_of(logits, part)
            total += loss.detach()
            (of_logits,) = torch.autograd.grad(loss, logits)
            of_logits = of_logits.view(-1, len(head))
            product("input gradient", of_logits, head, of_hidden[part].view(-1, d))
            product("weight gradient", of_logits.T, x, of_head, accumulate=True)
        ctx.save_for_backward(of_hidden, of_head)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor, Tensor, None, None]:
        [g], (of_hidden, of_head) = above, ctx.saved_tensors
        return g * of_hidden, g * of_head, None, None
