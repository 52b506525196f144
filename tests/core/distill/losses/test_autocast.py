"""Every loss under CPU autocast to bfloat16, near agreement: the same value and the same gradient to the bit."""

import math

import pytest
import torch
from torch import nn

from lab.core.distill import losses
from lab.core.distill.losses import cross_tokenizer as cross
from lab.core.distill.losses.cross_tokenizer import View, align_batch, shared, tokens
from lab.core.distill.losses.features import linear_projector

PIECES = [b"a", b"b", b"c", b"ab", b""]
BOTH = align_batch([(tokens([3, 2, 0], PIECES), tokens([0, 1, 2, 0], PIECES))] * 2)
IDS = torch.tensor([[0, 1, 2, 3], [4, 3, 2, 1]])


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def gen():
    return torch.Generator().manual_seed(0)


def maps(x):
    return x.softmax(-1)


def view(hidden, seed):
    embedding, head = drawn(2, 4, 8, seed=seed), drawn(5, 8, seed=seed + 1)
    return View(IDS, torch.ones(2, 4), hidden, embedding, embedding.roll(1, 1), head)


def cma(s, t):
    modules = (linear_projector(a, b, generator=gen()) for a, b in ((16, 16), (8, 8), (8, 8)))
    logits = s[..., :5], t[..., :5]
    names = zip(("query", "to_student", "to_teacher"), modules, strict=True)
    return cross.dskd_cma(*logits, view(s, 3), view(t, 5), **dict(names))


LOGITS = {
    "hard_data": lambda s, t: losses.hard_data(s, IDS),
    "hard_draw": lambda s, t: losses.hard_draw(s, t, generator=gen()),
    "hard_argmax": losses.hard_argmax,
    "forward_kl": losses.forward_kl,
    "reverse_kl": losses.reverse_kl,
    "jsd": losses.jsd,
    "skew": losses.skew,
    "tvd": losses.tvd,
    "top_k": lambda s, t: losses.top_k(s, t, k=3, rest="tail"),
    "random_sampling": lambda s, t: losses.random_sampling(s, t, n=5, generator=gen()),
    "uld": losses.uld,
    "soft_targets": cross.soft_targets,
    "alm": lambda s, t: cross.alm(s[:, :3, :5], t[..., :5], BOTH),
    "gold": lambda s, t: cross.gold(s[:, :3, :5], t[..., :5], BOTH, shared(PIECES, PIECES)),
    "mapped_kl": lambda s, t: cross.mapped_kl(s, t, torch.arange(8)),
}
STATES = {
    "feature": lambda s, t: losses.feature(s, t, projector=linear_projector(8, 8, generator=gen())),
    "crd": lambda s, t: losses.crd(
        s,
        t,
        student_projector=linear_projector(8, 8, generator=gen()),
        teacher_projector=linear_projector(8, 8, generator=gen()),
    ),
    "rkd_distance": losses.rkd_distance,
    "rkd_angle": losses.rkd_angle,
    "similarity": losses.similarity,
    "minilm_relations": lambda s, t: losses.minilm_relations(s, t, relation_heads=2, causal=True),
    "attention_transfer": lambda s, t: losses.attention_transfer(maps(s[None]), maps(t[None]), kind="kl"),
    "hidden_states": lambda s, t: cross.hidden_states(
        s[:, :3], t, BOTH, linear_projector(8, 8, generator=gen())
    ),
    "dskd_cma": cma,
}
NO_LOSS = {
    "Sampled",
    "TopK",
    "layer_pairs",
    "linear_projector",
    "mlp_projector",
    "sampled_targets",
    "top_k_targets",
}
CROSS_TOKENIZER = {"alm", "dskd_cma", "gold", "hidden_states", "mapped_kl", "soft_targets", "uld"}


def test_every_loss_is_here():
    assert (set(losses.__all__) - NO_LOSS) | CROSS_TOKENIZER == {*LOGITS, *STATES}
    assert set(cross.__all__) >= CROSS_TOKENIZER


@pytest.mark.parametrize("name", [*LOGITS, *STATES])
def test_autocast_changes_nothing(name):
    loss = (LOGITS | STATES)[name]
    teacher = 3 * drawn(2, 4, 8)
    found = []
    for enabled in (False, True):
        student = (teacher + 1e-3 * drawn(2, 4, 8, seed=1)).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            value = loss(student, teacher)
        (gradient,) = torch.autograd.grad(value, student)
        found.append((value.detach(), gradient))
    (plain, slope), (cast, other) = found
    assert plain.dtype == cast.dtype == torch.float32 and math.isfinite(plain)
    assert torch.equal(plain, cast) and torch.equal(slope, other) and bool(slope.any())


def test_what_a_model_gives_under_autocast_meets_a_projector_in_float32():
    model, projector = nn.Linear(8, 8), linear_projector(8, 6, generator=gen())
    x, teacher = drawn(2, 4, 8), drawn(2, 4, 6, seed=1)
    with torch.autocast("cpu", torch.bfloat16):
        states = model(x)
        loss = losses.feature(states, teacher, projector=projector)
    assert states.dtype == torch.bfloat16 and loss.dtype == torch.float32
    torch.testing.assert_close(loss, losses.feature(states.float(), teacher, projector=projector))
    half = linear_projector(8, 6, generator=gen()).bfloat16()
    torch.testing.assert_close(losses.feature(states, teacher, projector=half), loss, rtol=0.02, atol=0)
