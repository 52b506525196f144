"""One update on given sequences, against the mean over tokens written out, and what may not matter: padding, order, parts."""

from __future__ import annotations

import copy

import pytest
import torch

from lab.core.distill.on_policy import distill_step, kl_to_teacher
from lab.core.distill.on_policy.losses import LOSSES
from lab.core.lm.not_finite import NotFinite
from lab.core.lm.scoring import Sequences, completion_logits, log_probs


def by_rows(one, some):
    """Logits and tokens of each completion alone, through the whole forward pass."""
    found = []
    for ids, start, length in zip(some.ids, some.starts.tolist(), some.lengths.tolist(), strict=True):
        if length:
            found.append((one(ids[None, : start + length - 1])[0, start - 1 :], ids[start : start + length]))
    logits, tokens = zip(*found, strict=True)
    return torch.cat(logits), torch.cat(tokens)


@pytest.fixture(params=["auto", "sdpa", "standard", "hf"])
def any_model(request, model, hugging_face_model):
    """Our transformer by its kernels and without them, and one of transformers."""
    return hugging_face_model if request.param == "hf" else lambda seed: model(seed, backend=request.param)


def test_logits_of_completions(any_model, sequences):
    one = any_model(0)
    logits, tokens = completion_logits(one, sequences)
    wanted, wanted_tokens = by_rows(one, sequences)
    assert torch.equal(tokens, wanted_tokens)
    torch.testing.assert_close(logits, wanted, rtol=1e-5, atol=1e-4)
    log_p, _ = log_probs(one, sequences)
    of_chosen = logits.log_softmax(-1).gather(-1, tokens[:, None]).squeeze(-1)
    mask = torch.arange(log_p.shape[1]) < sequences.lengths[:, None]
    torch.testing.assert_close(log_p[mask], of_chosen, rtol=1e-5, atol=1e-4)


def written_out(loss, student, teacher, some, T):
    """The mean over all tokens, and that of KL(q‖p)."""
    logits, y = by_rows(student, some)
    with torch.no_grad():
        log_p = (by_rows(teacher, some)[0] / T).log_softmax(-1)
    log_q = (logits / T).log_softmax(-1)
    q, p = log_q.exp(), log_p.exp()
    m, at = (p + q) / 2, (torch.arange(len(y)), y)
    found = {
        "reverse_kl": lambda: T**2 * (q * (log_q - log_p)).sum(-1),
        "forward_kl": lambda: T**2 * (p * (log_p - log_q)).sum(-1),
        "jsd": lambda: T**2 * (p * (log_p - m.log()) + q * (log_q - m.log())).sum(-1) / 2,
        "token": lambda: T**2 * (log_q - log_p)[at].detach() * log_q[at],
        "nll": lambda: -logits.log_softmax(-1)[at],
    }[loss]()
    value = T**2 * (log_q - log_p)[at] if loss == "token" else found
    kl = (q * (log_q - log_p)).sum(-1)
    return found.mean(), float(value.detach().mean()), float(kl.detach().mean())


def agrees(student, teacher, some, loss, T, near):
    """Gradient, clipping and metrics of a step."""
    wanted, value, kl = written_out(loss, student, teacher, some, T)
    slopes = torch.autograd.grad(wanted, list(student.parameters()))
    norm = float(torch.stack([slope.norm() for slope in slopes]).norm())
    before = [p.detach().clone() for p in student.parameters()]
    sgd = torch.optim.SGD(student.parameters(), lr=1.0)
    found = distill_step(student, teacher, some, sgd, loss=loss, temperature=T, max_grad_norm=norm / 2)
    assert found == {
        "tokens": int(some.lengths.sum()),
        "loss": pytest.approx(value, rel=near),
        "kl": pytest.approx(kl, rel=near),
        "grad_norm": pytest.approx(norm, rel=near),
    }
    clipped = norm / 2 / (norm + 1e-6)  # torch adds it
    for old, new, slope in zip(before, student.parameters(), slopes, strict=True):
        assert new.grad is None
        torch.testing.assert_close(old - new, clipped * slope, rtol=near, atol=near * norm)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_update_is_that_of_the_mean_over_tokens(model, sequences, loss, temperature):
    student, teacher = model(1, torch.float64), model(2, torch.float64, d_model=24)
    agrees(student, teacher, sequences, loss, temperature, 1e-10)


@pytest.mark.parametrize("loss", ["reverse_kl", "token"])
def test_the_update_of_any_model(any_model, sequences, loss):
    agrees(any_model(1), any_model(2), sequences, loss, 1.0, 1e-3)


def test_a_student_of_ours_and_a_teacher_of_transformers(model, hugging_face_model, sequences):
    agrees(model(1), hugging_face_model(2, 24), sequences, "reverse_kl", 1.0, 1e-3)


@pytest.mark.parametrize("loss", LOSSES)
def test_padding_order_and_parts_do_not_matter(model, sequences, loss):
    start, teacher = model(1, torch.float64), model(2, torch.float64)
    ids = torch.cat([sequences.ids, torch.full((9, 3), 7)], 1)
    behind = torch.arange(ids.shape[1]) >= sequences.ends[:, None]
    padded = Sequences(ids.masked_fill(behind, 5), sequences.starts, sequences.lengths, sequences.prompts)
    shuffled = sequences.rows(torch.tensor([8, 3, 0, 5, 1, 7, 2, 6, 4]))
    results = []
    for given, parts in ((sequences, 3), (sequences, 1), (padded, 3), (shuffled, 3)):
        student = copy.deepcopy(start)
        sgd = torch.optim.SGD(student.parameters(), lr=1.0)
        metrics = distill_step(student, teacher, given, sgd, loss=loss, parts=parts, max_grad_norm=1e9)
        results.append((metrics, list(student.parameters())))
    (metrics, weights), *others = results
    for their_metrics, their_weights in others:
        assert their_metrics == pytest.approx(metrics, rel=1e-10)
        torch.testing.assert_close(their_weights, weights, rtol=1e-10, atol=1e-12)


def test_it_learns_the_teacher_and_leaves_it_alone(model, sequences):
    student, teacher = model(1), model(2)
    before = copy.deepcopy(teacher.state_dict())
    adam = torch.optim.AdamW(student.parameters(), lr=1e-2)
    first = kl_to_teacher(student, teacher, sequences)
    kls = [distill_step(student, teacher, sequences, adam, step=step)["kl"] for step in range(40)]
    assert kls[0] == pytest.approx(first, rel=1e-5)
    assert kl_to_teacher(student, teacher, sequences) < 0.1 * first
    assert kl_to_teacher(teacher, teacher, sequences) == pytest.approx(0, abs=1e-6)
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())
    assert all(p.grad is None for p in teacher.parameters())


def test_kl_at_a_temperature(model, sequences):
    student, teacher = model(1), model(2)
    for T in (1.0, 0.5):
        _, _, kl = written_out("nll", student, teacher, sequences, T)
        for parts in (1, 3):
            found = kl_to_teacher(student, teacher, sequences, temperature=T, parts=parts)
            assert found == pytest.approx(kl, rel=1e-4)


def test_what_it_refuses(model, sequences):
    student = model(1)
    sgd = torch.optim.SGD(student.parameters(), lr=1.0)
    with pytest.raises(ValueError, match="vocabulary of 11, the teacher one of 12"):
        distill_step(student, model(2, vocabulary=12), sequences, sgd)
    with pytest.raises(ValueError, match="no tokens"):
        distill_step(student, model(2), sequences.rows(torch.tensor([1])), sgd)
    with pytest.raises(ValueError, match="no tokens"):
        kl_to_teacher(student, model(2), sequences.rows(torch.tensor([], dtype=torch.long)))
    with pytest.raises(ValueError, match="reverse_kl, forward_kl, jsd, token, nll"):
        distill_step(student, model(2), sequences, sgd, loss="kl")
    with pytest.raises(ValueError, match="needs a teacher"):
        distill_step(student, None, sequences, sgd)
    with pytest.raises(ValueError, match="temperature is 0"):
        distill_step(student, model(2), sequences, sgd, temperature=0)
    assert "kl" not in distill_step(student, None, sequences, sgd, loss="nll")


@pytest.mark.parametrize("loss", ["reverse_kl", "token", "nll"])
def test_a_loss_that_is_not_finite_changes_nothing(model, sequences, loss):
    student = model(1)
    with torch.no_grad():
        student.head.weight[4, 2] = torch.inf
    before = copy.deepcopy(student.state_dict())
    sgd = torch.optim.SGD(student.parameters(), lr=1.0)
    with pytest.raises(NotFinite, match="at step 17"):
        distill_step(student, model(2), sequences, sgd, loss=loss, step=17)
    assert all(torch.equal(before[name], value) for name, value in student.state_dict().items())
