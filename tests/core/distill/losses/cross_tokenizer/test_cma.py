"""Cross-model attention, beside the paper's formulas in loops."""

import math
from dataclasses import replace

import pytest
import torch

from lab.core.distill.losses.cross_tokenizer import View, dskd_cma

PARTS = ("hidden", "inputs", "targets")
V_S, V_T, D_S, D_T = 5, 7, 3, 4


def normal(seed, *shape):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def view(seed, lengths, V, d):
    width = max(lengths)
    draw = torch.Generator().manual_seed(seed)
    return View(
        torch.randint(V, (len(lengths), width), generator=draw),
        torch.arange(width) < torch.tensor(lengths).unsqueeze(1),
        *(normal(seed + i, len(lengths), width, d) for i in range(3)),
        normal(seed + 4, V, d),
    )


def case(seed=0, S=(4, 2), T=(3, 2)):
    student, teacher = view(seed, S, V_S, D_S), view(seed + 10, T, V_T, D_T)
    weights = [normal(seed + 20, 2 * D_S, 2 * D_T), normal(seed + 21, D_T, D_S), normal(seed + 22, D_S, D_T)]
    logits = normal(seed + 23, len(S), max(S), V_S), normal(seed + 24, len(T), max(T), V_T)
    return student, teacher, weights, logits


def loss_of(student, teacher, weights, logits, T=1.0):
    query, to_student, to_teacher = (lambda x, W=W: x @ W for W in weights)
    return dskd_cma(
        *logits, student, teacher, query=query, to_student=to_student, to_teacher=to_teacher, temperature=T
    )


def by_hand(student, teacher, weights, logits, T):
    W_q, W_s, W_t = weights
    std = {}
    for name, x in (("hidden", teacher.hidden), ("targets", teacher.targets),
                    ("index", torch.cat([teacher.inputs, teacher.targets], -1))):  # fmt: skip
        std[name] = x[teacher.mask].std()
    learns, teaches, follows = [], [], []
    for row in range(len(student.ids)):
        n, m = int(student.mask[row].sum()), int(teacher.mask[row].sum())
        A = torch.zeros(n, m, dtype=torch.float64)
        for i in range(n):
            for j in range(m):
                q = torch.cat([student.inputs[row, i], student.targets[row, i]]) @ W_q
                k = torch.cat([teacher.inputs[row, j], teacher.targets[row, j]]) / std["index"]
                A[i, j] = q @ k / math.sqrt(2 * D_T)
        values = (teacher.hidden[row, :m] / std["hidden"] + teacher.targets[row, :m] / std["targets"]) @ W_s
        gathered = A.softmax(1) @ values @ student.head.T
        carried = A.T.softmax(1) @ (student.hidden[row, :n] @ W_t) @ teacher.head.T
        for i in range(n):
            y = student.ids[row, i]
            learns.append(-gathered[i].log_softmax(0)[y])
            p, q = (gathered[i] / T).softmax(0), (logits[0][row, i] / T).softmax(0)
            right = gathered[i].argmax() == y
            teaches.append(T**2 * (p * (p / q).log()).sum() * right)
        for j in range(m):
            p, q = (logits[1][row, j] / T).softmax(0), (carried[j] / T).softmax(0)
            follows.append(T**2 * (p * (p / q).log()).sum())
    return [torch.stack(x).mean() for x in (learns, teaches, follows)]


@pytest.mark.parametrize("T", [1.0, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_papers_in_loops(seed, T):
    parts = by_hand(*case(seed), T)
    torch.testing.assert_close(loss_of(*case(seed), T), sum(parts))


def test_the_parts_of_it_are_there():
    assert any(by_hand(*case(seed), 1.0)[1] > 0.01 for seed in range(3)), "nowhere is the first choice right"


def test_padding_may_hold_anything():
    student, teacher, weights, logits = case(1)
    wanted = loss_of(student, teacher, weights, logits)
    holes = []
    for side in (student, teacher):
        hole = {name: getattr(side, name).masked_fill(~side.mask.unsqueeze(-1), math.nan) for name in PARTS}
        holes.append(replace(side, **hole))
    hollow = [
        x.masked_fill(~side.mask.unsqueeze(-1), math.nan) for x, side in zip(logits, holes, strict=True)
    ]
    hollow[0].requires_grad_()
    loss = loss_of(*holes, weights, hollow)
    torch.testing.assert_close(loss, wanted)
    loss.backward()
    assert hollow[0].grad.isfinite().all()


def test_what_is_trained_and_what_is_not():
    """Projectors by all three terms, the student's state by the last, its logits by the second; nothing else."""
    student, teacher, weights, logits = case(2)
    weights = [w.requires_grad_() for w in weights]
    learning = {}
    for name, side in (("student", student), ("teacher", teacher)):
        for part in (*PARTS, "head"):
            learning[name, part] = getattr(side, part).requires_grad_()
    q, p = (x.requires_grad_() for x in logits)
    loss_of(student, teacher, weights, (q, p)).backward()
    assert all(w.grad.abs().max() > 0 for w in weights) and q.grad is not None and p.grad is None
    assert {at for at, x in learning.items() if x.grad is not None} == {("student", "hidden")}


def test_what_cannot_be_right_is_refused():
    student, teacher, weights, logits = case(0)
    with pytest.raises(ValueError, match="temperature is 0"):
        loss_of(student, teacher, weights, logits, T=0)
    with pytest.raises(ValueError, match="teacher_logits are NaN in 5 places"):
        loss_of(student, teacher, weights, (logits[0], logits[1] * math.nan))
    with pytest.raises(ValueError, match=r"student_logits have shape \(2, 3, 5\), but the mask has \(2, 4\)"):
        loss_of(student, teacher, weights, (logits[0][:, :3], logits[1]))
