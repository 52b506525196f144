"""The compiled losses: as near to float64 as PyTorch's form, value and gradient, whatever the shape, and equal on threads."""

import math

import pytest
import torch

from lab.core.compiled.switch import SWITCH
from lab.core.compiled.threads import on_threads
from lab.core.distill.losses import (
    forward_kl,
    hard_argmax,
    hard_data,
    hard_draw,
    jsd,
    random_sampling,
    reverse_kl,
    sampled_targets,
    skew,
    top_k,
    tvd,
)
from lab.core.distill.losses.numba import backend

DIVERGENCES = {
    "forward_kl": forward_kl,
    "reverse_kl": reverse_kl,
    "jsd": jsd,
    "jsd(0.1)": lambda *a, **k: jsd(*a, beta=0.1, **k),
    "skew": skew,
    "skew(1)": lambda *a, **k: skew(*a, lam=1, **k),
    "tvd": tvd,
}


def drawn(*a, **k):
    generator = torch.Generator().manual_seed(0)
    return hard_draw(*a, generator=generator, **k)


def of_data(student, teacher, mask=None, temperature=1.0, **k):
    """Labels that are out of range where they are masked."""
    labels = torch.arange(teacher[..., 0].numel()).view(teacher.shape[:-1]) % teacher.shape[-1]
    return hard_data(student, labels if mask is None else labels.masked_fill(mask == 0, -100), mask, **k)


def sampled(student, teacher, mask=None, temperature=1.0, **k):
    target = sampled_targets(
        teacher.float(), 20, temperature, mask=mask, generator=torch.Generator().manual_seed(0)
    )
    return random_sampling(student, target, mask, temperature, **k)


def truth(student, teacher, mask=None, temperature=1.0, **k):
    labels = torch.zeros(teacher.shape[:-1], dtype=torch.int64)
    return top_k(
        student, teacher, mask, temperature, k=min(3, teacher.shape[-1]), rest="truth", labels=labels, **k
    )


SPARSE = {
    "hard_data": of_data,
    "hard_draw": drawn,
    "hard_argmax": hard_argmax,
    "top_k": lambda *a, **k: top_k(*a, k=min(4, a[0].shape[-1]), **k),
    "top_k(truth)": truth,
    "random_sampling": sampled,
}
ALL = DIVERGENCES | SPARSE
every_loss = pytest.mark.parametrize("name", ALL)
every_divergence = pytest.mark.parametrize("name", DIVERGENCES)


@pytest.fixture
def torch_form(monkeypatch):
    """Runs a function with the kernels switched off."""

    def switched_off(function, *given, **named):
        with monkeypatch.context() as off:
            off.setenv(SWITCH, "0")
            assert not backend.can_take(torch.zeros(1, 1))
            return function(*given, **named)

    return switched_off


def logits(seed, *shape, spread=3.0):
    return spread * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def with_gradient(loss, student, *given, **named):
    student = student.detach().requires_grad_()
    value = loss(student, *given, **named)
    return value.detach(), torch.autograd.grad(3 * value, student)[0]


def errors(found, exact):
    """The largest of value and gradient, each in the scale of what is right."""
    (value, gradient), (of_value, of_gradient) = found, exact
    size = of_gradient.abs().max().clamp(min=1e-30)
    return abs(float(value) - float(of_value)), float((gradient - of_gradient).abs().max() / size)


def compare(torch_form, loss, student, teacher, mask=None, temperature=1.0):
    """The kernel against float64, and PyTorch's form in float32 against it; the kernel may err about as much."""
    assert backend.can_take(student, teacher)
    ours = with_gradient(loss, student, teacher, mask, temperature)
    exact = with_gradient(loss, student.double(), teacher.double(), mask, temperature)
    theirs = torch_form(with_gradient, loss, student, teacher, mask, temperature)
    assert ours[1].shape == student.shape
    for mine, others, floor in zip(errors(ours, exact), errors(theirs, exact), (1e-6, 2e-6), strict=True):
        assert mine <= 2 * others + floor * max(1.0, temperature)
    with torch.no_grad():
        torch.testing.assert_close(loss(student, teacher, mask, temperature), ours[0], rtol=0, atol=0)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 5), (7, 17), (3, 1, 513), (1, 3, 8192)], ids=str)
@every_loss
def test_value_and_gradient_are_as_near_to_float64_as_those_of_pytorch(name, shape, temperature, torch_form):
    student, teacher = logits(0, *shape), logits(1, *shape)
    if name == "hard_draw":  # both draw from p, whose last digits differ between float32 and float64
        teacher = teacher.double().float()
        ours = with_gradient(drawn, student, teacher, None, temperature)
        theirs = torch_form(with_gradient, drawn, student, teacher, None, temperature)
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
        return
    compare(torch_form, ALL[name], student, teacher, temperature=temperature)


@every_divergence
def test_near_agreement_and_far_from_0(name, torch_form):
    """A loss of 1e-5 out of logits around 300, where log-probabilities have three digits less."""
    teacher = logits(2, 40, 300)
    compare(torch_form, DIVERGENCES[name], teacher + 0.003 * logits(3, 40, 300) + 300, teacher)
    value, gradient = with_gradient(DIVERGENCES[name], teacher, teacher)
    assert abs(float(value)) < 1e-6 and float(gradient.abs().max()) < 1e-8


@every_loss
def test_masked_rows_do_not_matter(name, torch_form):
    mask = torch.tensor([[1, 0, 1, 1], [0, 0, 0, 0], [1, 1, 0, 1]])
    student, teacher = logits(4, 3, 4, 19), logits(5, 3, 4, 19)
    if name != "hard_draw":
        compare(torch_form, ALL[name], student, teacher, mask, 1.5)
    clean = with_gradient(ALL[name], student, teacher, mask)
    student[mask == 0], teacher[mask == 0] = math.nan, math.nan
    value, gradient = with_gradient(ALL[name], student, teacher, mask)
    assert torch.equal(value, clean[0]) and torch.equal(gradient, clean[1])
    assert not gradient[mask == 0].any() and bool(gradient[mask != 0].any()) == (name != "skew(1)")
    value, gradient = with_gradient(ALL[name], student, teacher, torch.zeros(3, 4))
    assert value == 0 and not gradient.any()


@every_loss
def test_memory_with_gaps(name, torch_form):
    """A shifted view, tokens first, and a vocabulary that does not lie together."""
    student, teacher = logits(6, 5, 4, 21), logits(7, 5, 4, 21)
    apart = torch.stack([student, student], -1)[..., 0]
    for s, t in (
        (student[:, 1:], teacher[:, :-1]),
        (student.transpose(0, 1), teacher.transpose(0, 1)),
        (apart, teacher.movedim(-1, 0).contiguous().movedim(0, -1)),
    ):
        whole = with_gradient(ALL[name], s.contiguous(), t.contiguous())
        found = with_gradient(ALL[name], s, t)
        assert torch.equal(found[0], whole[0]) and torch.equal(found[1], whole[1])


@every_divergence
def test_probabilities_of_0(name, torch_form):
    """They cost nothing where both have them; elsewhere what the definition gives, +∞ among it."""
    student, teacher = logits(8, 4, 9), logits(9, 4, 9)
    teacher[:, ::3] = student[:, ::3] = -math.inf
    value, gradient = with_gradient(DIVERGENCES[name], student, teacher)
    alone = [x.view(4, 3, 3)[..., 1:].flatten(1) for x in (student, teacher)]
    expected = with_gradient(DIVERGENCES[name], *alone)
    torch.testing.assert_close(value, expected[0], rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(gradient.view(4, 3, 3)[..., 1:].flatten(1), expected[1], rtol=1e-5, atol=1e-7)
    assert not gradient[:, ::3].any()
    for s, t in ((student, logits(9, 4, 9)), (logits(8, 4, 9), teacher)):
        ours, theirs = DIVERGENCES[name](s, t), torch_form(DIVERGENCES[name], s, t)
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("bad", [math.nan, -math.nan, math.inf])
@every_loss
def test_a_student_that_is_no_distribution_makes_the_loss_nan(name, bad):
    student, teacher = logits(10, 3, 600), logits(11, 3, 600)
    student[1, 555] = bad
    assert ALL[name](student, teacher).isnan()
    student[1] = -math.inf
    assert ALL[name](student, teacher).isnan()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@every_divergence
def test_a_teacher_that_is_no_distribution_is_refused_with_its_place(name, bad):
    student, teacher = logits(12, 2, 3, 7), logits(13, 2, 3, 7)
    teacher[1, 1, 3] = teacher[1, 2, 0] = bad
    with pytest.raises(ValueError, match="sequence 1, token 1: NaN"):
        DIVERGENCES[name](student, teacher)
    mask = torch.tensor([[1, 1, 0], [1, 0, 1]])
    with pytest.raises(ValueError, match="sequence 1, token 2: NaN"):
        DIVERGENCES[name](student, teacher, mask)
    teacher[1, 1:] = -math.inf
    with pytest.raises(ValueError, match="sequence 1, token 1: NaN"):
        DIVERGENCES[name](student, teacher)


@every_loss
def test_a_result_does_not_depend_on_the_number_of_threads(name, monkeypatch):
    student, teacher = logits(14, 11, 50), logits(15, 11, 50)
    monkeypatch.setattr(backend, "WORTH_A_THREAD", 1)
    asked = []

    def noted(work, threads, owned=None):
        asked.append(threads)
        on_threads(work, threads, owned)

    monkeypatch.setattr(backend, "on_threads", noted)
    found = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        found.append(with_gradient(ALL[name], student, teacher))
    assert asked == [1, 2, 3]
    for value, gradient in found:
        assert torch.equal(value, found[0][0]) and torch.equal(gradient, found[0][1])


@pytest.mark.parametrize("name", ["forward_kl", "hard_data", "top_k", "top_k(truth)", "random_sampling"])
def test_a_gradient_in_the_memory_of_the_logits(name):
    """Where there is no mask, and no gap: the same numbers."""
    student, teacher, mask = logits(18, 3, 4, 600), logits(19, 3, 4, 600), torch.ones(3, 4)
    mask[1, 2] = 0
    for m in (None, mask):
        value, gradient = with_gradient(ALL[name], student, teacher, m)
        own = student.clone().requires_grad_()
        found = ALL[name](own, teacher, m, in_place=True)
        (there,) = torch.autograd.grad(3 * found, own)
        assert torch.equal(found, value) and torch.equal(there, gradient)
        assert torch.equal(own.detach(), student) != (m is None)


def test_a_teacher_in_half_precision_and_pieces_of_a_batch(torch_form):
    student, teacher = logits(16, 6, 5, 33), logits(17, 6, 5, 33).half()
    ours = with_gradient(forward_kl, student, teacher)
    torch.testing.assert_close(ours, with_gradient(forward_kl, student, teacher.float()), rtol=0, atol=0)
    parts = [
        with_gradient(forward_kl, student[i : i + 2], teacher[i : i + 2], num_items=30) for i in (0, 2, 4)
    ]
    torch.testing.assert_close(sum(value for value, _ in parts), ours[0])
    torch.testing.assert_close(torch.cat([gradient for _, gradient in parts]), ours[1])


def test_what_the_kernels_do_not_take():
    x = torch.zeros(2, 3)
    assert backend.can_take(x, x.half()) and backend.can_take(x.requires_grad_(), x)
    for other in (x.double(), x.half(), x.bfloat16(), x[:0], x.to("meta")):
        assert not backend.can_take(other, x)
    assert not backend.can_take(x, x.to("meta"))
