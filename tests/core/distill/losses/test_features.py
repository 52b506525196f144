"""Hidden states and attention maps: by definition, at equality, under padding; projectors and pairs of layers."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lab.core.distill.losses import (
    attention_transfer,
    feature,
    layer_pairs,
    linear_projector,
    mlp_projector,
)

every_kind = pytest.mark.parametrize("kind", ["mse", "cosine"])
every_map = pytest.mark.parametrize("kind", ["mse", "kl"])


def normal(seed, *shape, spread=1.0):
    return spread * torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def close(a, b, rtol=1e-11, atol=1e-13):
    torch.testing.assert_close(a, torch.as_tensor(b, dtype=a.dtype), rtol=rtol, atol=atol)


def gradient(loss, of):
    return torch.autograd.grad(loss, of)[0]


MASK = torch.tensor([[1, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]])


# Hidden states.


@every_kind
def test_a_feature_is_what_it_says(kind):
    student, teacher = normal(0, 3, 4, 6).requires_grad_(), normal(1, 3, 4, 6, spread=5)
    for mask in (None, MASK):
        at = [(i, j) for i in range(3) for j in range(4) if mask is None or mask[i, j]]
        if kind == "mse":
            apart = sum((student[i] - teacher[i]).square().sum() for i in at)
            wanted = apart / sum(teacher[i].square().sum() for i in at)
        else:
            dot = sum(student[i] @ teacher[i] / (student[i].norm() * teacher[i].norm()) for i in at)
            wanted = 1 - dot / len(at)
        loss = feature(student, teacher, mask, kind=kind)
        close(loss, wanted)
        close(gradient(loss, student), gradient(wanted, student))
        flat = feature(
            student.flatten(0, 1), teacher.flatten(0, 1), None if mask is None else mask.flatten(), kind=kind
        )
        close(flat, wanted)


@every_kind
def test_at_the_teacher_a_feature_is_nothing_and_stays(kind):
    teacher = normal(2, 3, 4, 6, spread=5)
    student = teacher.clone().requires_grad_()
    loss = feature(student, teacher, kind=kind)
    close(loss, 0)
    close(gradient(loss, student), torch.zeros_like(student))


def test_its_scale_is_the_teachers():
    teacher = normal(3, 3, 4, 6)
    close(feature(torch.zeros_like(teacher), teacher), 1)
    student = normal(4, 3, 4, 6)
    close(feature(100 * student, 100 * teacher), feature(student, teacher))
    close(feature(7 * student, teacher, kind="cosine"), feature(student, teacher, kind="cosine"))
    close(feature(-teacher, teacher, kind="cosine"), 2)


@every_kind
def test_gradcheck_through_a_projector(kind):
    student, teacher = normal(5, 2, 3, 4).requires_grad_(), normal(6, 2, 3, 5)
    P = mlp_projector(4, 5, width=3, generator=torch.Generator().manual_seed(0)).double()
    mask = torch.tensor([[1, 0, 1], [1, 1, 1]])
    parameters = list(P.parameters())

    def loss(student, *weights):
        return feature(student, teacher, mask, projector=P, kind=kind)

    assert torch.autograd.gradcheck(loss, (student, *parameters))


@given(st.integers(0, 10**6), st.sampled_from(["mse", "cosine"]), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_padding_and_pieces_change_nothing(seed, kind, size):
    student, teacher = normal(seed, 4, 3, 5).requires_grad_(), normal(seed + 1, 4, 3, 5)
    mask = torch.randint(2, (4, 3), generator=torch.Generator().manual_seed(seed))
    whole = feature(student, teacher, mask, kind=kind)
    found = gradient(whole, student)
    assert (found[mask == 0] == 0).all()
    off = (mask == 0)[..., None]
    spoilt = student.detach().masked_fill(off, torch.nan).requires_grad_()
    other = feature(spoilt, teacher.masked_fill(off, torch.nan), mask, kind=kind)
    close(other, whole)
    close(gradient(other, spoilt), found)
    if not mask.any():
        assert whole == 0
        return
    power = float(teacher[mask != 0].square().mean())
    pieces = [
        feature(student[i : i + size], teacher[i : i + size], mask[i : i + size], kind=kind, power=power,
                num_items=float(mask.sum()))
        for i in range(0, 4, size)
    ]  # fmt: skip
    close(sum(pieces), whole)


def test_a_student_of_zeros_gets_no_nan():
    student = torch.zeros(2, 3, requires_grad=True)
    loss = feature(student, torch.ones(2, 3), kind="cosine")
    close(loss, 1)
    assert (gradient(loss, student) == 0).all()


def test_half_precision_is_computed_in_single():
    student, teacher = normal(7, 30, 50).bfloat16(), normal(8, 30, 50).bfloat16()
    loss = feature(student, teacher)
    assert loss.dtype == torch.float32
    close(loss.double(), feature(student.double(), teacher.double()), rtol=1e-5)


# Projectors.


def test_projectors_keep_the_size_of_states_and_let_the_gradient_through():
    draw = torch.Generator().manual_seed(0)
    student = torch.randn(2000, 64, generator=draw).requires_grad_()
    teacher = torch.randn(2000, 256, generator=draw)
    for made in (linear_projector(64, 256, generator=draw), mlp_projector(64, 256, generator=draw)):
        assert isinstance(made, nn.Module)
        close(made(student).square().mean(), 1.0, rtol=0.15)
        assert gradient(feature(student, teacher, projector=made), student).abs().sum() > 0.01
    nothing = nn.Linear(64, 256)
    nn.init.zeros_(nothing.weight)
    nn.init.zeros_(nothing.bias)
    assert (gradient(feature(student, teacher, projector=nothing), student) == 0).all()


def test_the_same_generator_starts_the_same_projector():
    one, other = (mlp_projector(4, 5, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert all((a == b).all() for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_a_projector_finds_the_map_there_is():
    """The least-squares solution, to which gradient descent on the loss converges."""
    student = normal(9, 40, 3)
    teacher = student @ normal(10, 3, 5)
    P = linear_projector(3, 5, generator=torch.Generator().manual_seed(0)).double()
    steps = torch.optim.LBFGS(P.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def closure():
        steps.zero_grad()
        loss = feature(student, teacher, projector=P)
        loss.backward()
        return loss

    steps.step(closure)
    close(feature(student, teacher, projector=P), 0, atol=1e-8)


# Layers.


def test_layers_are_mapped():
    assert layer_pairs(3, 6, "last") == ((2, 5),)
    assert layer_pairs(3, 6) == ((0, 1), (1, 3), (2, 5))
    assert layer_pairs(2, 3) == ((0, 1), (1, 2))
    assert layer_pairs(4, 2) == ((0, 0), (1, 0), (2, 1), (3, 1))
    assert layer_pairs(1, 1) == ((0, 0),)
    assert layer_pairs(3, 6, [(0, 5), (2, 2)]) == ((0, 5), (2, 2))


@given(st.integers(1, 40), st.integers(1, 40))
def test_uniform_mapping_is_in_order_and_ends_at_the_end(student, teacher):
    pairs = layer_pairs(student, teacher)
    assert [s for s, _ in pairs] == list(range(student))
    of = [t for _, t in pairs]
    assert of == sorted(of)
    assert of[0] >= 0 and of[-1] == teacher - 1
    if student <= teacher:
        assert len(set(of)) == student
    if teacher % student == 0:
        assert of == [(i + 1) * teacher // student - 1 for i in range(student)]


# Attention maps.


def maps(seed, heads=2, queries=4, keys=4, causal=True):
    scores = normal(seed, 3, heads, queries, keys, spread=2)
    if causal:
        future = torch.ones(queries, keys, dtype=torch.bool).triu(1 + keys - queries)
        scores = scores.masked_fill(future, -torch.inf)
    return scores.softmax(-1)


@every_map
def test_attention_is_what_it_says(kind):
    student, teacher = maps(0).requires_grad_(), maps(1)
    for mask in (None, MASK):
        total, queries = 0.0, 0
        for i in range(3):
            for j in range(4):
                if mask is None or mask[i, j]:
                    queries += 1
                    for h in range(2):
                        for k in range(j + 1):
                            if mask is None or mask[i, k]:
                                s, t = student[i, h, j, k], teacher[i, h, j, k]
                                total = total + ((s - t) ** 2 if kind == "mse" else t * (t / s).log()) / 2
        if mask is not None and kind == "kl":
            continue  # its maps must sum to 1 over the keys that count: below
        loss = attention_transfer(student, teacher, mask, kind)
        close(loss, total / queries)
        close(gradient(loss, student), gradient(total / queries, student))


@every_map
@pytest.mark.parametrize("heads", ["match", "mean"])
def test_at_the_teacher_attention_is_nothing_and_does_not_leave(kind, heads):
    """Through the softmax: KL of maps alone has a gradient of −1 on the simplex, along which no softmax can move."""
    scores = normal(2, 3, 2, 4, 4).requires_grad_()
    teacher = scores.detach().softmax(-1)
    loss = attention_transfer(scores.softmax(-1), teacher, kind=kind, heads=heads)
    close(loss, 0)
    close(gradient(loss, scores), torch.zeros_like(scores))


@every_map
def test_padded_attention(kind):
    """Maps of a model that masks its padding, whose padded rows hold anything."""
    lengths = torch.tensor([4, 2, 3])
    mask = torch.arange(4) < lengths[:, None]
    allowed = mask[:, None, None, :] & torch.ones(4, 4, dtype=torch.bool).tril()
    student, teacher = (normal(s, 3, 2, 4, 4).masked_fill(~allowed, -torch.inf).softmax(-1) for s in (3, 4))
    alone = [
        attention_transfer(
            student[i : i + 1, :, :n, :n], teacher[i : i + 1, :, :n, :n], kind=kind, num_items=9
        )
        for i, n in enumerate(lengths.tolist())
    ]
    rows = mask[:, None, :, None]
    spoilt = student.masked_fill(~rows, torch.nan).requires_grad_()
    loss = attention_transfer(spoilt, teacher.masked_fill(~rows, torch.nan), mask, kind)
    close(loss, sum(alone))
    assert gradient(loss, spoilt).isfinite().all()
    assert attention_transfer(spoilt, teacher, torch.zeros(3, 4), kind) == 0


@every_map
def test_unequal_heads_are_averaged_or_refused(kind):
    student, teacher = maps(5, heads=2), maps(6, heads=3)
    with pytest.raises(ValueError, match="the student has 2 heads, the teacher 3: .*heads='mean'"):
        attention_transfer(student, teacher, kind=kind)
    loss = attention_transfer(student, teacher, kind=kind, heads="mean")
    averages = student.mean(1, keepdim=True), teacher.mean(1, keepdim=True)
    close(loss, attention_transfer(*averages, kind=kind))


@every_map
def test_attention_gradcheck(kind):
    student, teacher = normal(7, 2, 2, 3, 5).softmax(-1).requires_grad_(), normal(8, 2, 2, 3, 5).softmax(-1)
    mask = torch.tensor([[1, 0, 1], [1, 1, 1]])
    assert torch.autograd.gradcheck(lambda x: attention_transfer(x, teacher, mask, kind), student)


# Wrong use.


def test_errors_name_both_sides():
    student, teacher = torch.randn(2, 3, 4), torch.randn(2, 3, 5)
    with pytest.raises(
        ValueError,
        match=r"the student has a width of 4, .* give a projector, such as linear_projector\(4, 5\)",
    ):
        feature(student, teacher)
    with pytest.raises(ValueError, match="the student's projector has a width of 6, the teacher one of 5"):
        feature(student, teacher, projector=linear_projector(4, 6))
    with pytest.raises(ValueError, match=r"student_hidden has shape \(2, 3, 4\), teacher_hidden \(2, 2, 4\)"):
        feature(student, torch.randn(2, 2, 4))
    with pytest.raises(ValueError, match=r"mask has shape \(3,\), but the tokens \(2, 3\)"):
        feature(student, student, torch.ones(3))
    with pytest.raises(ValueError, match="no kind 'cosin'. Did you mean cosine. There are: mse, cosine"):
        feature(student, student, kind="cosin")
    for power in (0, -1.0, math.nan):
        with pytest.raises(
            ValueError, match="power is .*; the mean of the teacher's squared states is above 0"
        ):
            feature(student, student, power=power)
    with pytest.raises(ValueError, match="teacher_hidden is 0 everywhere"):
        feature(student, torch.zeros(2, 3, 4))
    bad = student.clone()
    bad[1, 2, 0] = torch.nan
    with pytest.raises(ValueError, match="teacher_hidden is not finite at sequence 1, token 2"):
        feature(student, bad)
    for arguments, message in (
        ((0, 3), "the student has 0 layers, the teacher 3: 1 is the least"),
        ((2, 3, "unform"), "no mapping 'unform'. Did you mean uniform. There are: last, uniform"),
        ((2, 3, []), "the mapping has no pairs"),
        ((2, 3, [(0, 3)]), r"pair \(0, 3\): the teacher has layers 0 to 2"),
        ((2, 3, [(-1, 2)]), r"pair \(-1, 2\): the student has layers 0 to 1"),
    ):
        with pytest.raises(ValueError, match=message):
            layer_pairs(*arguments)
    good = maps(0)
    with pytest.raises(
        ValueError, match=r"student_attention has shape \(3, 2, 4, 4\), teacher_attention \(3, 2, 4, 5\)"
    ):
        attention_transfer(good, maps(0, keys=5))
    with pytest.raises(
        ValueError, match="teacher_attention is no distribution over keys at sequence 0, token 0"
    ):
        attention_transfer(good, 2 * good, kind="kl")
    bad = good.clone()
    bad[2, 1, 3, 0] = torch.nan
    with pytest.raises(ValueError, match="teacher_attention is NaN at sequence 2, token 3"):
        attention_transfer(good, bad)
    with pytest.raises(ValueError, match="no kind 'js'"):
        attention_transfer(good, good, kind="js")
    with pytest.raises(ValueError, match="no heads 'average'"):
        attention_transfer(good, good, heads="average")
