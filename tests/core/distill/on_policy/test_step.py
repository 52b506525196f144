"""One update on given sequences, against the sum of exact terms, and what may not matter: padding, order, parts."""

from __future__ import annotations

import copy

import pytest
import torch

from lab.core.distill.on_policy import distill_step, kl_to_teacher
from lab.core.distill.on_policy.losses import LOSSES
from lab.core.lm.model import Config, Transformer
from lab.core.lm.scoring import Sequences, completion_logits, log_probs

V = 11


def model(seed, dtype=torch.float32, backend="auto", vocabulary=V, **sizes):
    torch.manual_seed(seed)
    sizes = {"d_model": 16, "layers": 2, "heads": 2, "kv_heads": 1, "d_ff": 24} | sizes
    made = Transformer(Config(vocabulary, context=24, backend=backend, **sizes))
    with torch.no_grad():
        made.head.weight.mul_(3)  # distributions that differ
    return made.double() if dtype == torch.float64 else made


def sequences(seed=0, rows=9, of_one_prompt=3):
    draw = torch.Generator().manual_seed(seed)
    prompts = torch.arange(rows) // of_one_prompt
    starts = torch.tensor([3, 5, 1, 4, 2])[prompts]
    lengths = torch.randint(0, 8, (rows,), generator=draw)
    lengths[:2] = torch.tensor([7, 0])
    ids = torch.randint(V, (rows, 14), generator=draw)
    for row in range(rows):
        first = row // of_one_prompt * of_one_prompt
        ids[row, : starts[row]] = ids[first, : starts[row]]
    return Sequences(ids[:, : int((starts + lengths).max())], starts, lengths, prompts)


def by_rows(one, some):
    """Logits and tokens of each completion alone, through the whole forward pass."""
    found = []
    for ids, start, length in zip(some.ids, some.starts.tolist(), some.lengths.tolist(), strict=True):
        if length:
            found.append((one(ids[None, : start + length - 1])[0, start - 1 :], ids[start : start + length]))
    logits, tokens = zip(*found, strict=True)
    return torch.cat(logits), torch.cat(tokens)


@pytest.mark.parametrize("backend", ["auto", "sdpa", "standard"])
def test_logits_of_completions(backend):
    one, some = model(0, backend=backend), sequences()
    logits, tokens = completion_logits(one, some)
    wanted, wanted_tokens = by_rows(one, some)
    assert torch.equal(tokens, wanted_tokens)
    torch.testing.assert_close(logits, wanted, rtol=1e-5, atol=1e-5)
    log_p, _ = log_probs(one, some)
    of_chosen = logits.log_softmax(-1).gather(-1, tokens[:, None]).squeeze(-1)
    mask = torch.arange(log_p.shape[1]) < some.lengths[:, None]
    torch.testing.assert_close(log_p[mask], of_chosen, rtol=1e-5, atol=1e-5)


def exact(loss, student, teacher, some, T):
    """Mean over all tokens, written out."""
    logits, y = by_rows(student, some)
    with torch.no_grad():
        log_p = (by_rows(teacher, some)[0] / T).log_softmax(-1)
    log_q = (logits / T).log_softmax(-1)
    q, p = log_q.exp(), log_p.exp()
    m = (p + q) / 2
    at = torch.arange(len(y)), y
    found = {
        "reverse_kl": lambda: (q * (log_q - log_p)).sum(-1),
        "forward_kl": lambda: (p * (log_p - log_q)).sum(-1),
        "jsd": lambda: (p * (log_p - m.log()) + q * (log_q - m.log())).sum(-1) / 2,
        "token": lambda: (log_q - log_p)[at].detach() * log_q[at],
        "nll": lambda: -logits.log_softmax(-1)[at] / T**2,
    }
    kl = (q * (log_q - log_p)).sum(-1).mean()
    return T**2 * found[loss]().mean(), float(kl.detach())


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("dtype", "backend"), [(torch.float64, "sdpa"), (torch.float32, "auto")])
def test_the_update_is_that_of_the_mean_over_tokens(dtype, backend, loss, temperature):
    student, teacher, some = model(1, dtype, backend), model(2, dtype, backend, d_model=24), sequences()
    wanted, kl = exact(loss, student, teacher, some, temperature)
    slopes = torch.autograd.grad(wanted, list(student.parameters()))
    norm = torch.stack([slope.norm() for slope in slopes]).norm()
    before = [p.detach().clone() for p in student.parameters()]
    sgd = torch.optim.SGD(student.parameters(), lr=1.0)
    found = distill_step(
        student, teacher, some, sgd, loss=loss, temperature=temperature, max_grad_norm=0.5 * float(norm)
    )
    near = {"rel": 1e-10} if dtype == torch.float64 else {"rel": 1e-3}
    assert found["tokens"] == int(some.lengths.sum())
    assert found["kl"] == pytest.approx(kl, **near)
    assert found["grad_norm"] == pytest.approx(float(norm), **near)
    if loss != "token":  # whose value is an estimate of the KL
        assert found["loss"] == pytest.approx(float(wanted), **near)
    for old, new, slope in zip(before, student.parameters(), slopes, strict=True):
        assert new.grad is None
        torch.testing.assert_close(old - new, 0.5 * slope, rtol=near["rel"], atol=near["rel"] * float(norm))


@pytest.mark.parametrize("loss", LOSSES)
def test_padding_order_and_parts_do_not_matter(loss):
    start, teacher, some = model(1, torch.float64), model(2, torch.float64), sequences()
    ids = torch.cat([some.ids, torch.full((9, 3), 7)], 1)
    behind = torch.arange(ids.shape[1]) >= some.ends[:, None]
    padded = Sequences(ids.masked_fill(behind, 5), some.starts, some.lengths, some.prompts)
    order = torch.tensor([8, 3, 0, 5, 1, 7, 2, 6, 4])
    alike = {"parts": (some, 3), "one part": (some, 1), "padded": (padded, 3), "order": (some.rows(order), 3)}
    results = {}
    for name, (given, parts) in alike.items():
        student = copy.deepcopy(start)
        sgd = torch.optim.SGD(student.parameters(), lr=1.0)
        metrics = distill_step(student, teacher, given, sgd, loss=loss, parts=parts, max_grad_norm=1e9)
        results[name] = metrics, [*student.parameters()]
    metrics, weights = results.pop("parts")
    for others, their_weights in results.values():
        assert others == pytest.approx(metrics, rel=1e-10)
        torch.testing.assert_close(their_weights, weights, rtol=1e-10, atol=1e-12)


def test_it_learns_the_teacher_and_leaves_it_alone():
    student, teacher, some = model(1), model(2), sequences()
    before = copy.deepcopy(teacher.state_dict())
    adam = torch.optim.AdamW(student.parameters(), lr=1e-2)
    first = kl_to_teacher(student, teacher, some)
    told = [distill_step(student, teacher, some, adam, step=step)["kl"] for step in range(40)]
    assert told[0] == pytest.approx(first, rel=1e-5)
    assert kl_to_teacher(student, teacher, some) < 0.1 * first
    assert kl_to_teacher(teacher, teacher, some) == pytest.approx(0, abs=1e-6)
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())
    assert all(p.grad is None for p in teacher.parameters())


def test_what_it_refuses():
    student, some = model(1), sequences()
    sgd = torch.optim.SGD(student.parameters(), lr=1.0)
    with pytest.raises(ValueError, match="vocabulary of 11, the teacher one of 12"):
        distill_step(student, model(2, vocabulary=12), some, sgd)
    with pytest.raises(ValueError, match="no tokens"):
        distill_step(student, model(2), some.rows(torch.tensor([1])), sgd)
    with pytest.raises(ValueError, match="no tokens"):
        kl_to_teacher(student, model(2), some.rows(torch.tensor([], dtype=torch.long)))
    with pytest.raises(ValueError, match="reverse_kl, forward_kl, jsd, token, nll"):
        distill_step(student, model(2), some, sgd, loss="kl")
    with pytest.raises(ValueError, match="needs a teacher"):
        distill_step(student, None, some, sgd)
    assert "kl" not in distill_step(student, None, some, sgd, loss="nll")
