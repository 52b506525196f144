"""Relations against loops that follow the papers, their invariances, and what would be NaN without care."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.core.distill.losses import minilm_relations, rkd_angle, rkd_distance, similarity

BETWEEN_POINTS = {"rkd_distance": rkd_distance, "rkd_angle": rkd_angle, "similarity": similarity}
every_relation = pytest.mark.parametrize("name", BETWEEN_POINTS)


def normal(seed, *shape, spread=1.0):
    return spread * torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def close(a, b, rtol=1e-11, atol=1e-13):
    torch.testing.assert_close(a, torch.as_tensor(b, dtype=a.dtype), rtol=rtol, atol=atol)


def gradient(loss, of):
    return torch.autograd.grad(loss, of)[0]


def huber(x):
    return x**2 / 2 if abs(x) < 1 else abs(x) - 0.5


# Loops.


def by_loops(name, s, t):
    n = len(s)
    if name == "rkd_distance":
        pairs = list(itertools.permutations(range(n), 2))
        apart = [{(i, j): (x[i] - x[j]).norm() for i, j in pairs} for x in (s, t)]
        mean = [sum(d.values()) / len(pairs) for d in apart]
        return sum(huber(apart[0][p] / mean[0] - apart[1][p] / mean[1]) for p in pairs) / len(pairs)
    if name == "rkd_angle":
        triples = list(itertools.permutations(range(n), 3))

        def cosine(x, i, j, k):
            a, b = x[i] - x[j], x[k] - x[j]
            return a @ b / (a.norm() * b.norm())

        return sum(huber(cosine(s, *each) - cosine(t, *each)) for each in triples) / len(triples)
    total = 0.0
    for i in range(n):
        rows = [torch.stack([x[i] @ x[j] for j in range(n)]) for x in (s, t)]
        total = total + (rows[0] / rows[0].norm() - rows[1] / rows[1].norm()).square().sum()
    return total / n**2


@every_relation
def test_it_is_what_the_paper_says(name):
    student, teacher = normal(0, 2, 4, 3).requires_grad_(), normal(1, 2, 4, 5, spread=3)
    for mask in (None, torch.tensor([[1, 0, 1, 1], [1, 1, 1, 0]])):
        kept = torch.ones(2, 4, dtype=torch.bool) if mask is None else mask.bool()
        wanted = by_loops(name, student[kept], teacher[kept])
        loss = BETWEEN_POINTS[name](student, teacher, mask)
        close(loss, wanted)
        close(gradient(loss, student), gradient(wanted, student))
        close(BETWEEN_POINTS[name](student[kept], teacher[kept]), wanted)


def test_distances_that_are_far_apart_are_huber_and_not_squares():
    """Three points on a line: 0, 1, 100 against 0, 99, 100. Distances by their means: (1, 100, 99)/66⅔, (99, 100, 1)/66⅔."""
    student, teacher = (torch.tensor([[0.0], [x], [100.0]], dtype=torch.float64) for x in (1, 99))
    close(rkd_distance(student, teacher), 2 / 3 * (98 / (200 / 3) - 0.5))


@every_relation
def test_gradcheck(name):
    student, teacher = normal(2, 5, 3).requires_grad_(), normal(3, 5, 4)
    assert torch.autograd.gradcheck(lambda x: BETWEEN_POINTS[name](x, teacher), student)


# What they do not see.


@every_relation
def test_at_the_teacher_it_is_nothing_and_stays_and_so_when_turned_and_scaled(name):
    teacher = normal(4, 2, 5, 4)
    turn = torch.linalg.qr(normal(5, 4, 4)).Q
    for same in (teacher, 7 * teacher @ turn):
        student = same.clone().requires_grad_()
        loss = BETWEEN_POINTS[name](student, teacher)
        close(loss, 0)
        close(gradient(loss, student), torch.zeros_like(student))
    elsewhere = BETWEEN_POINTS[name](normal(6, 2, 5, 4), teacher)
    assert elsewhere > 0.01


def test_distances_and_angles_do_not_see_where_and_similarity_does():
    teacher = normal(7, 6, 4)
    for name, loss in BETWEEN_POINTS.items():
        moved = loss(teacher + 3, teacher)
        assert (moved > 0.01) == (name == "similarity")


# What would be NaN.


@every_relation
def test_points_at_one_place_give_no_nan(name):
    teacher = normal(8, 5, 4)
    for student in (torch.ones(5, 4), torch.zeros(5, 4), torch.cat([torch.ones(3, 4), torch.zeros(2, 4)])):
        student = student.double().requires_grad_()
        loss = BETWEEN_POINTS[name](student, teacher)
        assert loss.isfinite()
        assert gradient(loss, student).abs().max() < 100
        loss = BETWEEN_POINTS[name](teacher.clone().requires_grad_(), student.detach())
        assert loss.isfinite()
    close(BETWEEN_POINTS[name](torch.ones(5, 2), torch.ones(5, 3)), 0.0)


def test_an_angle_at_no_distance_counts_as_a_right_one_and_a_point_with_itself_as_none():
    """All cosines of an equilateral triangle are ½, so the Huber of each is ⅛."""
    teacher = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, math.sqrt(0.75)]], dtype=torch.float64)
    close(rkd_angle(torch.ones(3, 4, dtype=torch.float64), teacher), 1 / 8)


@every_relation
def test_too_few_points_are_nothing(name):
    for n in range(3):
        student = normal(9, n, 4).requires_grad_()
        loss = BETWEEN_POINTS[name](student, normal(10, n, 4))
        loss.backward()
        assert loss.isfinite()
        assert student.grad.isfinite().all()
    masked = normal(9, 2, 3, 4).requires_grad_()
    loss = BETWEEN_POINTS[name](masked, normal(10, 2, 3, 4), torch.zeros(2, 3))
    loss.backward()
    assert loss == 0
    assert (masked.grad == 0).all()


# Masks and draws.


@given(st.integers(0, 10**6), st.sampled_from(sorted(BETWEEN_POINTS)))
@settings(max_examples=40, deadline=None)
def test_what_is_masked_does_not_matter(seed, name):
    student, teacher = normal(seed, 3, 4, 3), normal(seed + 1, 3, 4, 5)
    mask = torch.randint(2, (3, 4), generator=torch.Generator().manual_seed(seed))
    kept = mask != 0
    off = ~kept[..., None]
    spoilt = student.masked_fill(off, torch.nan).requires_grad_()
    loss = BETWEEN_POINTS[name](spoilt, teacher.masked_fill(off, torch.nan), mask)
    close(loss, BETWEEN_POINTS[name](student[kept], teacher[kept]))
    assert (gradient(loss, spoilt)[~kept] == 0).all()


@every_relation
def test_so_many_points_are_drawn_and_the_same_of_both(name):
    student, teacher = normal(11, 3, 10, 4), normal(12, 3, 10, 4)
    teacher_again = teacher.clone()
    loss = BETWEEN_POINTS[name]
    draws = [loss(student, teacher, points=5, generator=torch.Generator().manual_seed(s)) for s in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    close(loss(teacher_again, teacher, points=5), 0)
    many = [loss(student, teacher, points=6, generator=torch.Generator().manual_seed(s)) for s in range(300)]
    assert len({float(x) for x in many}) > 250
    if (
        name == "rkd_angle"
    ):  # a mean over triples: unbiased; the others are divided by what depends on the draw
        found = torch.stack(many)
        assert abs(found.mean() - loss(student, teacher)) < 4 * found.std() / math.sqrt(300)


def test_many_positions_are_no_cube():
    """8,192 positions would be 5·10¹¹ angles."""
    student, teacher = torch.randn(64, 128, 8), torch.randn(64, 128, 8)
    for loss in BETWEEN_POINTS.values():
        assert loss(student, teacher).isfinite()


# MiniLM.


def naive_minilm(students, teachers, mask, heads, causal):
    """One relation head, position and pair after another."""
    total = 0.0
    for s, t in zip(students, teachers, strict=True):
        found, positions = 0.0, 0
        for b in range(len(s)):
            here = [i for i in range(s.shape[1]) if mask[b, i]]
            positions += len(here)
            for a in range(heads):
                for i in here:
                    js = [j for j in here if j <= i or not causal]
                    rows = []
                    for x in (s, t):
                        d = x.shape[-1] // heads
                        A = x[b, :, a * d : (a + 1) * d]
                        rows.append(torch.stack([A[i] @ A[j] / math.sqrt(d) for j in js]).log_softmax(0))
                    found = found + (rows[1].exp() * (rows[1] - rows[0])).sum() / heads
        total = total + found / positions
    return total


def qkv(seed, *widths, tokens=5):
    return [normal(seed + i, 3, tokens, width, spread=1.5) for i, width in enumerate(widths)]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("heads", [1, 2, 4])
def test_minilm_against_loops(heads, causal):
    students, teachers = qkv(0, 8, 4, 4), qkv(5, 12, 12, 8)
    students[0].requires_grad_()
    for mask in (None, torch.tensor([[1, 1, 1, 1, 0], [0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])):
        kept = torch.ones(3, 5) if mask is None else mask
        wanted = naive_minilm(students, teachers, kept, heads, causal)
        loss = minilm_relations(students, teachers, mask, relation_heads=heads, causal=causal)
        close(loss, wanted)
        close(gradient(loss, students[0]), gradient(wanted, students[0]))


def test_minilm_splits_heads_anew():
    """(batch, heads, tokens, head_dim) are put together first: 2 heads of 6 are 3 relation heads of 4."""
    student, teacher = normal(10, 3, 2, 5, 6), normal(11, 3, 4, 5, 3)
    flat = [x.transpose(1, 2).reshape(3, 5, 12) for x in (student, teacher)]
    close(minilm_relations(student, teacher, relation_heads=3), minilm_relations(*flat, relation_heads=3))
    close(minilm_relations(student, teacher), minilm_relations(*flat, relation_heads=4))
    close(minilm_relations(*flat), minilm_relations(*flat, relation_heads=1))
    close(minilm_relations([student, student], [teacher, teacher]), 2 * minilm_relations(student, teacher))


@pytest.mark.parametrize("causal", [False, True])
def test_minilm_at_the_teacher_is_nothing_and_stays_also_when_heads_are_turned(causal):
    teacher = normal(12, 3, 5, 8)
    turn = torch.block_diag(*(torch.linalg.qr(normal(s, 4, 4)).Q for s in (13, 14)))
    for same in (teacher, teacher @ turn):
        student = same.clone().requires_grad_()
        loss = minilm_relations(student, teacher, relation_heads=2, causal=causal)
        close(loss, 0)
        close(gradient(loss, student), torch.zeros_like(student))
    assert minilm_relations(2 * teacher, teacher, relation_heads=2, causal=causal) > 0.01


def test_minilm_gradcheck():
    student, teacher = normal(15, 2, 4, 6).requires_grad_(), normal(16, 2, 4, 6)
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]])
    for causal in (False, True):
        assert torch.autograd.gradcheck(
            lambda x, causal=causal: minilm_relations(x, teacher, mask, relation_heads=2, causal=causal),
            student,
        )


@given(st.integers(0, 10**6), st.booleans(), st.integers(1, 2))
@settings(max_examples=40, deadline=None)
def test_minilm_padding_on_either_side_and_pieces_change_nothing(seed, causal, size):
    student, teacher = normal(seed, 3, 4, 6), normal(seed + 1, 3, 4, 6)
    mask = torch.randint(2, (3, 4), generator=torch.Generator().manual_seed(seed))
    more = {"relation_heads": 2, "causal": causal}
    whole = minilm_relations(student, teacher, mask, **more)
    off = (mask == 0)[..., None]
    padded, other = (
        torch.nn.functional.pad(x.masked_fill(off, torch.nan), (0, 0, 2, 1), value=torch.nan)
        for x in (student, teacher)
    )
    padded.requires_grad_()
    loss = minilm_relations(padded, other, torch.nn.functional.pad(mask, (2, 1)), **more)
    close(loss, whole)
    assert gradient(loss, padded).isfinite().all()
    items = float(mask.sum())
    pieces = [
        minilm_relations(*(x[i : i + size] for x in (student, teacher, mask)), num_items=items, **more)
        for i in range(0, 3, size)
    ]
    close(sum(pieces), whole)
    if not mask.any():
        assert whole == 0


# Wrong use.


def test_errors_name_both_sides():
    student, teacher = torch.randn(2, 3, 4), torch.randn(2, 3, 6)
    bad = teacher.clone()
    bad[1, 2, 0] = torch.nan
    for loss in BETWEEN_POINTS.values():
        with pytest.raises(ValueError, match="teacher_hidden is not finite at sequence 1, token 2"):
            loss(student, bad)
        with pytest.raises(
            ValueError, match=r"student_hidden has shape \(2, 3, 4\), teacher_hidden \(2, 2, 4\)"
        ):
            loss(student, torch.randn(2, 2, 4))
        with pytest.raises(ValueError, match="points is 0; . is the least that have a relation"):
            loss(student, teacher, points=0)
    with pytest.raises(ValueError, match="the teacher is not finite at sequence 1, token 2"):
        minilm_relations(student, bad)
    with pytest.raises(ValueError, match="a width of 4 cannot be split into 3 relation heads"):
        minilm_relations(student, teacher, relation_heads=3)
    with pytest.raises(ValueError, match="a width of 4 cannot be split into 0 relation heads"):
        minilm_relations(student, teacher, relation_heads=0)
    with pytest.raises(ValueError, match="the student has 3 tensors, the teacher 2: one for one"):
        minilm_relations([student] * 3, [teacher] * 2)
    with pytest.raises(ValueError, match=r"the student has \(batch, tokens\) \(2, 3\), the teacher \(2, 4\)"):
        minilm_relations(student, torch.randn(2, 4, 6))
    with pytest.raises(ValueError, match=r"a tensor has shape \(3, 4\)"):
        minilm_relations(student[0], teacher[0])
    with pytest.raises(ValueError, match=r"mask has shape \(2, 4\), but the tokens \(2, 3\)"):
        minilm_relations(student, teacher, torch.ones(2, 4))
