"""Losses on some of the teacher's tokens: what is biased and what is not, and that stored targets give the same."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.core.distill.losses import (
    Sampled,
    TopK,
    forward_kl,
    random_sampling,
    sampled_targets,
    top_k,
    top_k_targets,
)
from lab.core.distill.losses.sparse import RESTS

every_rest = pytest.mark.parametrize("rest", RESTS)


def normal(seed, *shape, spread=1.0):
    return spread * torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def pair(seed, *shape, spread=2.0):
    return normal(seed, *shape, spread=spread).requires_grad_(), normal(seed + 1, *shape, spread=spread)


def tokens(seed, vocabulary, *shape):
    return torch.randint(vocabulary, shape, generator=torch.Generator().manual_seed(seed))


def close(a, b, rtol=1e-11, atol=1e-13):
    torch.testing.assert_close(a, torch.as_tensor(b, dtype=a.dtype), rtol=rtol, atol=atol)


def gradient(loss, of):
    return torch.autograd.grad(loss, of)[0]


def at_one_position(rest, p, q, k, y):
    """KL from the target to q, both written out over the vocabulary (and its tail as one token)."""
    K = sorted(range(len(p)), key=lambda i: -p[i])[:k]
    P, Q = sum(p[i] for i in K), sum(q[i] for i in K)
    target = {i: p[i] for i in K}
    if rest == "renormalise":
        target = {i: p[i] / P for i in K}
    if rest == "truth":
        target[y] = target.get(y, 0) + 1 - P
    found = sum(w * math.log(w / q[i]) for i, w in target.items() if w > 0)
    return found + (1 - P) * math.log((1 - P) / (1 - Q)) if rest == "tail" else found


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@every_rest
def test_top_k_is_the_mean_of_the_definition_over_unmasked_tokens(rest, temperature):
    student, teacher = pair(0, 3, 4, 9)
    labels = tokens(0, 9, 3, 4)
    mask = torch.tensor([[1, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]])
    q, p = ((x.detach() / temperature).softmax(-1) for x in (student, teacher))
    wanted = [
        at_one_position(rest, p[i, j].tolist(), q[i, j].tolist(), 4, int(labels[i, j]))
        for i, j in mask.nonzero().tolist()
    ]
    loss = top_k(student, teacher, mask, temperature, k=4, rest=rest, labels=labels)
    close(loss, temperature**2 * sum(wanted) / len(wanted))


@every_rest
def test_gradcheck(rest):
    student, teacher = pair(2, 2, 3, 6)
    labels = tokens(1, 6, 2, 3)
    assert torch.autograd.gradcheck(
        lambda x: top_k(x, teacher, None, 1.7, k=3, rest=rest, labels=labels), student
    )
    drawn = sampled_targets(teacher, 9, 1.7, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(lambda x: random_sampling(x, drawn, None, 1.7), student)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@every_rest
def test_all_of_the_vocabulary_is_forward_kl(rest, temperature):
    student, teacher = pair(3, 3, 4, 9)
    loss = top_k(student, teacher, None, temperature, k=9, rest=rest, labels=tokens(2, 9, 3, 4))
    wanted = forward_kl(student, teacher, None, temperature)
    close(loss, wanted)
    close(gradient(loss, student), gradient(wanted, student))


# Is the truth a stationary point?


def at_the_truth(seed, vocabulary=12):
    truth = normal(seed, 1, vocabulary, spread=2)
    return truth, truth.clone().requires_grad_(), truth.softmax(-1)


def test_renormalised_it_is_not():
    truth, student, p = at_the_truth(4)
    loss = top_k(student, truth, k=3)
    P, K = (x.squeeze(0) for x in p.topk(3))
    close(loss, -P.sum().log())
    wanted = p.clone()
    wanted[0, K] -= P / P.sum()
    close(gradient(loss, student), wanted)
    assert wanted.abs().max() > 0.02
    only_k = torch.full_like(truth, -torch.inf)
    only_k[0, K] = truth[0, K]
    close(top_k(only_k, truth, k=3), 0)  # a student that has forgotten all else pays nothing


def test_with_a_tail_it_is_and_so_is_every_student_with_another_tail():
    truth, student, _ = at_the_truth(5)
    loss = top_k(student, truth, k=3, rest="tail")
    close(loss, 0)
    close(gradient(loss, student), torch.zeros_like(student))

    in_support = torch.zeros(12, dtype=torch.bool)
    in_support[truth[0].topk(3).indices] = True
    tail = truth[0, ~in_support]
    other = normal(6, 9)
    moved = truth.clone()
    moved[0, ~in_support] = other - other.logsumexp(0) + tail.logsumexp(0)
    moved.requires_grad_()
    loss = top_k(moved, truth, k=3, rest="tail")
    close(loss, 0)
    close(gradient(loss, moved), torch.zeros_like(moved))
    assert forward_kl(moved, truth) > 0.01


def test_filled_with_data_it_is_not_on_average_over_data_and_the_head_is_paid_twice():
    truth, student, p = at_the_truth(7)

    def mean_gradient(of):
        losses = (top_k(of, truth, k=3, rest="truth", labels=torch.tensor([y])) for y in range(12))
        return sum(p[0, y] * gradient(loss, of) for y, loss in enumerate(losses))

    assert mean_gradient(student).abs().max() > 0.01
    P, K = (x.squeeze(0) for x in p.topk(3))
    minimum = (1 - P.sum()) * p
    minimum[0, K] = (2 - P.sum()) * P
    close(minimum.sum(), 1)
    close(mean_gradient(minimum.log().requires_grad_()), torch.zeros_like(student))


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_sampled_it_is_on_average_and_elsewhere_the_mean_gradient_is_that_of_forward_kl(temperature):
    teacher = normal(8, 1, 8, spread=1.5)
    n, repeats = 5, 20_000
    for student in (teacher, normal(9, 1, 8)):
        one = student.clone().requires_grad_()
        wanted = gradient(forward_kl(one, teacher, None, temperature), one)[0]
        many = student.expand(repeats, 8).clone().requires_grad_()
        draw = torch.Generator().manual_seed(0)
        loss = random_sampling(many, teacher.expand(repeats, 8), None, temperature, n=n, generator=draw)
        each = gradient(loss, many) * repeats
        errors = each.std(0) / math.sqrt(repeats)
        assert ((each.mean(0) - wanted).abs() < 4 * errors).all()
        for rest in ("renormalise", "truth"):  # the biases that such a test would see
            labels = tokens(3, 8, 1)
            biased = gradient(top_k(one, teacher, None, temperature, k=n, rest=rest, labels=labels), one)[0]
            assert ((biased - wanted).abs() > 10 * errors).any()


def test_the_mean_value_of_sampling_is_too_large_by_the_entropy_that_counts_fall_short_of():
    teacher, student = normal(10, 1, 8), normal(11, 1, 8)
    drawn = sampled_targets(teacher.expand(20_000, 8), 5, generator=torch.Generator().manual_seed(0))
    w = drawn.counts / drawn.counts.sum(-1, keepdim=True)
    short = teacher.softmax(-1).mul(-teacher.log_softmax(-1)).sum() + torch.xlogy(w, w).sum(-1).mean()
    found = random_sampling(student.expand(20_000, 8), drawn)
    assert short > 0.1
    close(found, forward_kl(student, teacher) + short, rtol=0.01)


# What is drawn.


def test_draws_come_in_proportion_to_p_and_each_token_once():
    teacher = normal(12, 1, 6, spread=1.5)
    teacher[0, 2] = -torch.inf
    p = (teacher / 2).softmax(-1)[0]
    drawn = sampled_targets(teacher.expand(5000, 6), 20, 2.0, generator=torch.Generator().manual_seed(0))
    assert (drawn.counts.sum(-1) == 20).all()
    total = torch.zeros(5000, 6, dtype=torch.int64)
    for column in range(drawn.ids.shape[1]):
        here = drawn.counts[:, column] > 0
        assert (total[here].gather(1, drawn.ids[here, column : column + 1]) == 0).all()
        total.scatter_add_(1, drawn.ids[:, column : column + 1], drawn.counts[:, column : column + 1])
    assert (total[:, 2] == 0).all()
    share = total.sum(0) / 100_000
    assert ((share - p).abs() < 4 * (p * (1 - p) / 100_000).sqrt() + 1e-12).all()
    spread = total.double().var(0)  # a multinomial's, so draws are independent
    close(spread, 20 * p * (1 - p), rtol=0.1)


def test_the_same_generator_draws_the_same():
    student, teacher = pair(13, 3, 4, 9)
    with_seed = [
        random_sampling(student, teacher, n=7, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)
    ]
    assert with_seed[0] == with_seed[1] != with_seed[2]


# Stored targets.


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@every_rest
def test_stored_targets_give_the_same_as_logits(rest, temperature):
    student, teacher = pair(14, 3, 4, 9)
    labels = tokens(4, 9, 3, 4)
    mask = torch.tensor([[1, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]])
    stored = top_k_targets(teacher, 6, temperature)
    assert stored.ids.shape == stored.log_probs.shape == (3, 4, 6)
    for k in (4, 6):
        one = top_k(student, teacher, mask, temperature, k=k, rest=rest, labels=labels)
        other = top_k(student, stored, mask, temperature, k=k, rest=rest, labels=labels)
        close(one, other, rtol=0, atol=0)
        close(gradient(one, student), gradient(other, student), rtol=0, atol=0)
    assert other == top_k(student, stored, mask, temperature, rest=rest, labels=labels)
    drawn = sampled_targets(teacher, 7, temperature, mask=mask, generator=torch.Generator().manual_seed(5))
    one = random_sampling(
        student, teacher, mask, temperature, n=7, generator=torch.Generator().manual_seed(5)
    )
    other = random_sampling(student, drawn, mask, temperature)
    close(one, other, rtol=0, atol=0)
    close(gradient(one, student), gradient(other, student), rtol=0, atol=0)


def test_half_precision_targets_with_small_ids_serve_too():
    student, teacher = (x.detach().float() for x in pair(15, 3, 4, 9))
    stored = top_k_targets(teacher, 5)
    small = TopK(stored.ids.to(torch.int32), stored.log_probs.half(), 9)
    for rest in RESTS:
        labels = tokens(5, 9, 3, 4)
        one = top_k(student, stored, rest=rest, labels=labels)
        close(top_k(student, small, rest=rest, labels=labels), one, rtol=0.02)
        close(top_k(student.double(), small.on("cpu"), rest=rest, labels=labels).float(), one, rtol=0.02)


@given(st.integers(0, 10**6), st.sampled_from(RESTS), st.integers(1, 5), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_padding_and_pieces_change_nothing(seed, rest, k, size):
    student, teacher = pair(seed, 4, 3, 5)
    labels, mask = tokens(seed, 5, 4, 3), tokens(seed + 1, 2, 4, 3)
    whole = top_k(student, teacher, mask, 2.0, k=k, rest=rest, labels=labels)
    found = gradient(whole, student)
    off = mask == 0
    spoilt = student.detach().masked_fill(off[..., None], torch.nan).requires_grad_()
    none = teacher.masked_fill(off[..., None], torch.nan)
    other = top_k(spoilt, none, mask, 2.0, k=k, rest=rest, labels=labels.masked_fill(off, -100))
    close(other, whole)
    close(gradient(other, spoilt), found)
    items = float(mask.sum())
    total = 0
    for i in range(0, 4, size):
        part = (x[i : i + size] for x in (student, teacher, mask))
        total = total + top_k(*part, 2.0, k=k, rest=rest, labels=labels[i : i + size], num_items=items)
    close(total, whole)


def test_tokens_without_probability_among_the_k():
    teacher = torch.tensor([[0.0, 1.0, -torch.inf, -torch.inf, -torch.inf]])
    student = torch.tensor([[0.5, 0.0, 0.0, 0.0, -torch.inf]], requires_grad=True)
    wanted = forward_kl(student, teacher)
    toward = gradient(wanted, student)
    for rest in RESTS:
        loss = top_k(student, teacher, k=4, rest=rest, labels=torch.tensor([0]))
        close(loss, wanted, rtol=1e-5, atol=1e-6)
        close(gradient(loss, student), toward, rtol=1e-5, atol=1e-6)


def test_a_student_that_is_sure_still_hears_of_the_tail():
    """Its 1 − Q is 0 in float32 if it is taken from 1, and a clamp would stop the gradient."""
    teacher = torch.tensor([[0.1, *9 * [0.1]]]).log() + torch.tensor([1e-6, *9 * [0.0]])
    student = torch.tensor([[60.0, *9 * [0.0]]], requires_grad=True)
    loss = top_k(student, teacher, k=1, rest="tail")
    close(loss, 0.1 * math.log(0.1) + 0.9 * (math.log(0.9) + 60 - math.log(9)), rtol=1e-5)
    close(gradient(loss, student), [[0.9, *9 * [-0.1]]], rtol=1e-5)


def test_the_sparse_divergence_of_distillkit_written_out():
    """Its `zero` renormalises the k log-probabilities; its `symmetric_uniform` adds the missing mass on both sides.

    From distillkit/lossfuncs at a61c2e7: log q at the ids by logsumexp, Σ exp(t)·(t − log q), and log(1 − e^x).
    """
    student, teacher = pair(16, 3, 4, 30)
    ids, t = teacher.log_softmax(-1).topk(6).indices, teacher.log_softmax(-1).topk(6).values
    s = student.gather(-1, ids) - student.logsumexp(-1, keepdim=True)

    zero = t - t.logsumexp(-1, keepdim=True)
    close(top_k(student, teacher, k=6), (zero.exp() * (zero - s)).sum(-1).mean())
    missing_t, missing_s = ((-x.logsumexp(-1).expm1()).log() for x in (t, s))
    symmetric = (t.exp() * (t - s)).sum(-1) + missing_t.exp() * (missing_t - missing_s)
    close(top_k(student, teacher, k=6, rest="tail"), symmetric.mean())


# Wrong use.


STUDENT = torch.zeros(2, 3, 5)
TEACHER = normal(17, 2, 3, 5).float()
LABELS = torch.tensor([[0, 5, 0], [0, 0, 0]])
NAN = TEACHER.masked_fill(torch.arange(30).view(2, 3, 5) == 28, torch.nan)  # at sequence 1, token 2
STORED = top_k_targets(TEACHER, 3)
DRAWN = sampled_targets(TEACHER, 4, generator=torch.Generator().manual_seed(0))
NO_DRAW = Sampled(DRAWN.ids, DRAWN.counts * torch.tensor([[[1]], [[0]]]), 5)
NAN_LOG_PROB = STORED.log_probs.masked_fill(torch.arange(18).view(2, 3, 3) == 15, torch.nan)
MISUSE = [
    (lambda: top_k(STUDENT, TEACHER, k=0), "k is 0; it must be between 1 and the vocabulary, 5"),
    (lambda: top_k(STUDENT, TEACHER, k=-1), "k is -1; it must be between 1 and the vocabulary, 5"),
    (lambda: top_k(STUDENT, TEACHER, k=6), "k is 6; it must be between 1 and the vocabulary, 5"),
    (lambda: top_k(STUDENT, STORED, k=4), "k is 4; it must be between 1 and what is stored, 3"),
    (lambda: top_k(STUDENT, TEACHER), "k is missing"),
    (lambda: top_k(STUDENT, TEACHER, k=2, rest="zero"), "unknown rest 'zero'; known: renormalise, tail, truth"),
    (lambda: top_k(STUDENT, TEACHER, k=2, rest="truth"), "there are no labels to give the leftover mass to"),
    (lambda: top_k(STUDENT, TEACHER, k=2, rest="truth", labels=LABELS), "label at sequence 0, token 1 is 5"),
    (lambda: top_k(STUDENT, NAN, k=2), "no distribution at sequence 1, token 2"),
    (lambda: random_sampling(STUDENT, TEACHER), "n is missing"),
    (lambda: random_sampling(STUDENT, TEACHER, n=0), "n is 0; draw at least 1"),
    (lambda: random_sampling(STUDENT, DRAWN, n=4), "n is 4, but the tokens are drawn already"),
    (lambda: random_sampling(STUDENT, NO_DRAW), "nothing was drawn at sequence 1, token 0"),
    (lambda: random_sampling(STUDENT, NAN, n=2), "no distribution at sequence 1, token 2"),
    (lambda: TopK(STORED.ids, STORED.log_probs + 9, 5), r"log_probs hold .* at sequence 0, token 0; .*log_softmax"),
    (lambda: TopK(STORED.ids, NAN_LOG_PROB, 5), "log_probs hold nan at sequence 1, token 2"),
    (lambda: TopK(STORED.ids + 7, STORED.log_probs, 1), "an id at sequence 0, token 0 is .*, but the vocabulary is 0 to"),
    (lambda: TopK(STORED.ids, STORED.log_probs[..., :2], 5), r"ids are .* of shape \(2, 3, 3\), log_probs of \(2, 3, 2\)"),
    (lambda: Sampled(DRAWN.ids, DRAWN.counts - 50, 5), "counts must be integers, 0 or more"),
]  # fmt: skip


@pytest.mark.parametrize("call, message", MISUSE, ids=[message for _, message in MISUSE])
def test_misuse_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "loss, stored", [(top_k, STORED), (random_sampling, DRAWN)], ids=["top_k", "sampled"]
)
@pytest.mark.parametrize(
    "student, temperature, message",
    [
        (STUDENT, 2.0, "temperature is 2, but the targets were made at 1"),
        (torch.zeros(2, 3, 6), 1.0, "vocabulary of 6, the teacher one of 5: .*cross_tokenizer"),
        (torch.zeros(3, 3, 5), 1.0, r"targets are for positions \(2, 3\), but student_logits have shape"),
    ],
)
def test_stored_targets_of_other_logits_are_refused(loss, stored, student, temperature, message):
    with pytest.raises(ValueError, match=message):
        loss(student, stored, None, temperature)
