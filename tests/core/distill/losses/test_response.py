"""Response losses over whole distributions: by hand, at the truth, in the limits, and however a batch is laid out."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.core.distill.losses import (
    forward_kl,
    hard_argmax,
    hard_data,
    hard_draw,
    jsd,
    reverse_kl,
    skew,
    slabs,
    tvd,
)
from lab.core.measure.memory import memory_of

DIVERGENCES = {
    "forward_kl": forward_kl,
    "reverse_kl": reverse_kl,
    "jsd": jsd,
    "jsd(0.1)": lambda *a, **k: jsd(*a, beta=0.1, **k),
    "jsd(0)": lambda *a, **k: jsd(*a, beta=0, **k),
    "jsd(1)": lambda *a, **k: jsd(*a, beta=1, **k),
    "skew": skew,
    "skew(0.7)": lambda *a, **k: skew(*a, lam=0.7, **k),
    "tvd": tvd,
}
ALL = DIVERGENCES | {"hard_argmax": hard_argmax}
every_divergence = pytest.mark.parametrize("name", DIVERGENCES)
every_loss = pytest.mark.parametrize("name", ALL)


def normal(seed, *shape, spread=1.0):
    return spread * torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def pair(seed, *shape, spread=2.0):
    return normal(seed, *shape, spread=spread).requires_grad_(), normal(seed + 1, *shape, spread=spread)


def close(a, b, rtol=1e-11, atol=1e-13):
    torch.testing.assert_close(a, torch.as_tensor(b, dtype=a.dtype), rtol=rtol, atol=atol)


def gradient(loss, of):
    return torch.autograd.grad(loss, of)[0]


def at_one_position(name, p, q):
    """The definitions, in plain Python."""
    kl = lambda a, b: sum(x * math.log(x / y) for x, y in zip(a, b, strict=True) if x > 0)  # noqa: E731
    mix = lambda share: [share * x + (1 - share) * y for x, y in zip(p, q, strict=True)]  # noqa: E731
    if name in ("forward_kl", "jsd(0)"):
        return kl(p, q)
    if name in ("reverse_kl", "jsd(1)"):
        return kl(q, p)
    if name.startswith("jsd"):
        beta = 0.1 if "0.1" in name else 0.5
        return beta * kl(p, mix(beta)) + (1 - beta) * kl(q, mix(beta))
    if name.startswith("skew"):
        return kl(p, mix(0.7 if "0.7" in name else 0.1))
    if name == "tvd":
        return sum(abs(x - y) for x, y in zip(p, q, strict=True)) / 2
    return -math.log(q[p.index(max(p))])


def by_definition(name, student, teacher, mask, temperature):
    total, tokens = 0.0, 0
    for index in torch.cartesian_prod(*(torch.arange(n) for n in student.shape[:-1])).tolist():
        if mask is None or mask[tuple(index)]:
            q, p = ((x[tuple(index)] / temperature).softmax(-1).tolist() for x in (student, teacher))
            total, tokens = total + at_one_position(name, p, q), tokens + 1
    return total / tokens * (temperature if name == "tvd" else temperature**2)


# Values.


@pytest.mark.parametrize("temperature", [1.0, 0.5, 3.0])
@every_loss
def test_it_is_the_mean_of_the_definition_over_unmasked_tokens(name, temperature):
    student, teacher = pair(0, 3, 4, 7)
    ones_and_zeros = torch.tensor([[1, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]])
    for mask in (None, ones_and_zeros, ones_and_zeros.bool()):
        wanted = by_definition(name, student.detach(), teacher, mask, temperature)
        close(ALL[name](student, teacher, mask, temperature), wanted)
        with torch.no_grad():
            close(ALL[name](student, teacher, mask, temperature), wanted)


def test_by_hand():
    """p = (½, ¼, ¼), q = (¼, ¼, ½)."""
    p, q = (torch.tensor([x], dtype=torch.float64).log() for x in ([0.5, 0.25, 0.25], [0.25, 0.25, 0.5]))
    log2 = math.log(2)
    close(forward_kl(q, p), log2 / 4)
    close(reverse_kl(q, p), log2 / 4)
    close(tvd(q, p), 0.25)
    close(jsd(q, p), 0.5 * math.log(4 / 3) + 0.25 * math.log(2 / 3))
    close(skew(q, p, lam=0.5), 0.5 * math.log(4 / 3) + 0.25 * math.log(2 / 3))
    close(hard_argmax(q, p), 2 * log2)
    close(hard_data(q, torch.tensor([2])), log2)


def test_forward_kl_is_what_torch_gives_for_the_sum_divided_by_tokens():
    student, teacher = pair(1, 5, 6, 11)
    kl = torch.nn.KLDivLoss(reduction="sum")(student.log_softmax(-1), teacher.softmax(-1)) / 30
    close(forward_kl(student, teacher), kl)
    close(gradient(forward_kl(student, teacher), student), gradient(kl, student))


def test_forward_kl_is_soft_cross_entropy_less_the_entropy_of_the_teacher():
    student, teacher = pair(2, 6, 9)
    p = teacher.softmax(-1)
    soft = torch.nn.functional.cross_entropy(student, p)
    close(forward_kl(student, teacher), soft + (p * p.log()).sum(-1).mean())
    close(gradient(forward_kl(student, teacher), student), gradient(soft, student))


def test_the_gradients_of_both_directions_by_hand():
    """q − p, and q·(log q/p − KL): with the first q held constant the latter would be nothing."""
    student, teacher = pair(3, 1, 8)
    q, p = student.detach().softmax(-1), teacher.softmax(-1)
    close(gradient(forward_kl(student, teacher), student), q - p)
    log_ratio = (q / p).log()
    wanted = q * (log_ratio - (q * log_ratio).sum(-1, keepdim=True))
    close(gradient(reverse_kl(student, teacher), student), wanted)
    assert wanted.abs().max() > 0.01


@every_loss
def test_gradcheck(name):
    student, teacher = pair(4, 2, 3, 5)
    mask = torch.tensor([[1, 0, 1], [1, 1, 1]])
    assert torch.autograd.gradcheck(lambda x: 3 * ALL[name](x, teacher, mask, 1.7), student)


def test_hard_data_is_cross_entropy_of_the_unmasked():
    student, _ = pair(5, 3, 4, 6)
    labels = torch.randint(6, (3, 4), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(4) < torch.tensor([[4], [2], [1]])
    labels = labels.masked_fill(~mask, -100)
    wanted = torch.nn.functional.cross_entropy(student.flatten(0, 1), labels.flatten())
    close(hard_data(student, labels, mask), wanted)
    close(gradient(hard_data(student, labels, mask), student), gradient(wanted, student))


# At the truth.


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@every_divergence
def test_a_student_that_is_the_teacher_pays_nothing_and_stays(name, temperature):
    teacher = normal(6, 4, 5, 30, spread=3)
    shift = 0 if name == "tvd" else 5  # a constant is nothing to a softmax, but rounding something to a kink
    student = (teacher + shift).requires_grad_()
    loss = DIVERGENCES[name](student, teacher, None, temperature)
    close(loss, 0)
    close(gradient(loss, student), torch.zeros_like(student))


@every_divergence
def test_elsewhere_it_pays_and_moves(name):
    student, teacher = pair(7, 4, 5, 30)
    loss = DIVERGENCES[name](student, teacher)
    assert loss > 0.01
    assert gradient(loss, student).abs().max() > 1e-4


def test_the_likeliest_token_for_a_label_drives_the_truth_away():
    teacher = normal(8, 1, 6)
    student = teacher.clone().requires_grad_()
    q = teacher.softmax(-1)
    onehot = torch.nn.functional.one_hot(q.argmax(-1), 6)
    close(gradient(hard_argmax(student, teacher), student), q - onehot)
    assert (q - onehot).abs().max() > 0.1


def test_data_leave_the_truth_alone_on_average():
    truth = normal(9, 1, 6)
    student = truth.clone().requires_grad_()
    p = truth.softmax(-1)[0]
    mean = sum(p[y] * gradient(hard_data(student, torch.tensor([y])), student) for y in range(6))
    close(mean, torch.zeros_like(student))


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_draws_have_the_gradient_of_forward_kl_on_average(temperature):
    student, teacher = normal(10, 1, 5), normal(11, 1, 5)
    n = 20_000
    many = student.expand(n, 5).clone().requires_grad_()
    draw = torch.Generator().manual_seed(0)
    loss = hard_draw(many, teacher.expand(n, 5), None, temperature, generator=draw)
    each = gradient(loss, many) * n
    one = student.clone().requires_grad_()
    wanted = gradient(forward_kl(one, teacher, None, temperature), one)[0]
    errors = each.std(0) / math.sqrt(n)
    assert ((each.mean(0) - wanted).abs() < 4 * errors).all()
    argmax = gradient(hard_argmax(one, teacher, None, temperature), one)[0]
    assert ((argmax - wanted).abs() > 20 * errors).any()  # the bias that such a test would see


# In the limits.


@pytest.mark.parametrize(
    ("name", "factor"),
    [("forward_kl", 1), ("reverse_kl", 1), ("jsd", 1 / 4), ("jsd(0.1)", 0.09), ("skew", 0.81), ("skew(0.7)", 0.09)],
)  # fmt: skip
def test_hot_divergences_become_half_the_squared_distance_of_centred_logits_by_v(name, factor):
    student, teacher = pair(12, 3, 4, 10)
    loss = DIVERGENCES[name](student, teacher, None, 1e4)
    apart = (student - student.mean(-1, keepdim=True)) - (teacher - teacher.mean(-1, keepdim=True))
    wanted = factor * apart.square().sum(-1).mean() / (2 * 10)
    close(loss, wanted, rtol=1e-3)
    close(gradient(loss, student), gradient(wanted, student), rtol=5e-3, atol=1e-5)


def test_hot_total_variation_becomes_half_their_absolute_distance_by_v():
    student, teacher = pair(13, 3, 4, 10)
    apart = (student - student.mean(-1, keepdim=True)) - (teacher - teacher.mean(-1, keepdim=True))
    close(tvd(student, teacher, None, 1e4), apart.abs().sum(-1).mean() / 2 / 10, rtol=1e-3)


def test_jsd_jumps_at_its_ends():
    student, teacher = pair(14, 3, 10)
    close(jsd(student, teacher, beta=1e-6) / 1e-6, forward_kl(student, teacher), rtol=1e-4)
    close(jsd(student, teacher, beta=1 - 1e-6) / 1e-6, reverse_kl(student, teacher), rtol=1e-4)
    close(jsd(student, teacher, beta=0), forward_kl(student, teacher))
    close(jsd(student, teacher, beta=1), reverse_kl(student, teacher))


def test_distributions_with_nothing_in_common():
    student, teacher = (torch.tensor([x], dtype=torch.float64) for x in ([0.0, 900.0], [900.0, 0.0]))
    close(jsd(student, teacher), math.log(2))
    close(tvd(student, teacher), 1)
    close(skew(student, teacher), math.log(10))
    close(forward_kl(student, teacher), 900)


# Numbers that are not ordinary.


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@every_divergence
def test_rounding_makes_nothing_negative(name, dtype):
    teacher = normal(15, 2000, 50, spread=3).to(dtype)
    student = teacher + (1e-4 * normal(16, 2000, 50)).to(dtype)
    for i in range(0, 2000, 100):
        loss = DIVERGENCES[name](student[i : i + 100], teacher[i : i + 100])
        assert loss.dtype == torch.float32
        assert 0 <= loss < 1e-3


@every_loss
def test_half_precision_is_computed_in_single(name):
    student, teacher = (x.detach().bfloat16() for x in pair(17, 4, 5, 40))
    student.requires_grad_()
    loss = ALL[name](student, teacher)
    exact = student.detach().double().requires_grad_()
    wanted = ALL[name](exact, teacher.double())
    close(loss.double(), wanted, rtol=1e-5, atol=1e-7)
    found = gradient(loss, student)
    assert found.dtype == torch.bfloat16
    close(found.double(), gradient(wanted, exact), rtol=2**-7, atol=1e-7)


@every_loss
def test_the_teacher_may_be_of_another_precision(name):
    student, teacher = pair(17, 4, 5, 40)
    wanted = ALL[name](student, teacher)
    for one, other in (
        (student, teacher.float()),
        (student.float(), teacher),
        (student.float(), teacher.half()),
    ):
        loss = ALL[name](one, other)
        assert loss.dtype == one.dtype
        close(loss.double(), wanted, rtol=1e-3)


@every_loss
def test_tokens_that_neither_has_change_nothing(name):
    student, teacher = pair(18, 3, 4, 6)
    loss = ALL[name](student, teacher)
    wider = torch.cat([student.detach(), torch.full((3, 4, 2), -torch.inf, dtype=torch.float64)], -1)
    wider.requires_grad_()
    with_them = ALL[name](wider, torch.cat([teacher, torch.full((3, 4, 2), -torch.inf)], -1))
    close(with_them, loss)
    found = gradient(with_them, wider)
    close(found[..., :6], gradient(loss, student))
    close(found[..., 6:], torch.zeros(3, 4, 2))


def test_what_is_infinite_is_reported_so():
    none = torch.tensor([[0.0, 0.0, -torch.inf]])
    some = torch.zeros(1, 3)
    assert forward_kl(none, some) == torch.inf
    assert reverse_kl(some, none) == torch.inf
    assert hard_data(none, torch.tensor([2])) == torch.inf
    close(forward_kl(some, none), math.log(1.5), rtol=1e-6)
    close(reverse_kl(none, some), math.log(1.5), rtol=1e-6)
    assert jsd(some, none) < math.log(2)
    assert jsd(none, some) < math.log(2)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("name", [*ALL, "hard_draw"])
def test_a_teacher_that_is_no_number_is_named(name, bad):
    loss = (ALL | {"hard_draw": hard_draw})[name]
    student, teacher = pair(19, 3, 4, 6)
    teacher[2, 1, 5] = bad
    with pytest.raises(ValueError, match="teacher_logits are no distribution at sequence 2, token 1: NaN"):
        loss(student, teacher)
    mask = torch.ones(3, 4)
    mask[0, 0] = mask[2, 0] = 0
    with pytest.raises(ValueError, match="at sequence 2, token 1"):
        loss(student, teacher, mask)
    with pytest.raises(ValueError, match="at example 9"):
        loss(student.flatten(0, 1), teacher.flatten(0, 1))
    mask[2, 1] = 0
    assert loss(student, teacher, mask).isfinite()


@pytest.mark.parametrize("elements", [6, 15, 60])
def test_the_position_is_right_in_every_slab(elements, monkeypatch):
    monkeypatch.setitem(slabs.ELEMENTS, "cpu", elements)
    student, teacher = pair(19, 3, 4, 6)
    masks = None, torch.tensor([[0, 1, 1, 1], [0, 1, 0, 1], [1, 0, 1, 1]])
    for i, j in itertools.product(range(3), range(4)):
        spoilt = teacher.clone()
        spoilt[i, j, 2] = torch.nan
        for mask in masks:
            if mask is None or mask[i, j]:
                with pytest.raises(ValueError, match=f"sequence {i}, token {j}:"):
                    forward_kl(student, spoilt, mask)
            else:
                forward_kl(student, spoilt, mask)


def test_a_student_that_is_no_number_is_told_by_the_loss():
    student, teacher = pair(20, 2, 3, 6)
    with torch.no_grad():
        student[1, 1, 1] = torch.nan
    assert forward_kl(student, teacher).isnan()


# However a batch is laid out.


@st.composite
def batches(draw):
    shape = [draw(st.integers(1, 4)), draw(st.integers(1, 6))]
    mask = draw(st.lists(st.booleans(), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]))
    seed, vocabulary = draw(st.integers(0, 10**6)), draw(st.integers(2, 9))
    student, teacher = pair(seed, *shape, vocabulary)
    return student, teacher, torch.tensor(mask).view(shape)


@given(batches(), st.sampled_from(sorted(ALL)), st.sampled_from([1.0, 2.5]))
@settings(max_examples=60, deadline=None)
def test_padding_changes_nothing(batch, name, temperature):
    student, teacher, mask = batch
    loss = ALL[name](student, teacher, mask, temperature)
    found = gradient(loss, student)
    assert (found[~mask] == 0).all()
    pad = (0, 0, 0, 2)
    longer = torch.nn.functional.pad(student.detach(), pad, value=torch.nan)
    longer[:, : mask.shape[1]][~mask] = torch.nan
    longer.requires_grad_()
    padded = ALL[name](
        longer,
        torch.nn.functional.pad(teacher, pad, value=torch.nan),
        torch.nn.functional.pad(mask, (0, 2)),
        temperature,
    )
    close(padded, loss)
    close(gradient(padded, longer)[:, : mask.shape[1]], found)
    if not mask.any():
        assert loss == 0


@given(batches(), st.sampled_from(sorted(ALL)), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_pieces_of_a_batch_add_up_to_the_whole(batch, name, size):
    student, teacher, mask = batch
    whole = ALL[name](student, teacher, mask, 2.0)
    items = float(mask.sum())
    pieces = [
        ALL[name](*(x[i : i + size] for x in (student, teacher, mask)), 2.0, num_items=items)
        for i in range(0, len(mask), size)
    ]
    close(sum(pieces), whole)
    close(gradient(sum(pieces), student), gradient(whole, student))


@pytest.mark.parametrize("elements", [1, 12, 25, 60, 10**6])
@every_loss
def test_the_size_of_slabs_does_not_show(name, elements, monkeypatch):
    student, teacher = pair(21, 4, 5, 6)
    for mask in (None, torch.tensor([[1, 1, 1, 1, 1], [0, 0, 0, 0, 0], [1, 1, 0, 0, 1], [0, 1, 0, 1, 0]])):
        wanted = ALL[name](student, teacher, mask)
        with monkeypatch.context() as patch:
            patch.setitem(slabs.ELEMENTS, "cpu", elements)
            found = ALL[name](student, teacher, mask)
        close(found, wanted)
        close(gradient(found, student), gradient(wanted, student))


@every_loss
def test_shifted_logits_need_no_copy_and_examples_no_tokens(name):
    student, teacher = pair(22, 3, 5, 6)
    wanted = ALL[name](student[:, :-1].clone(), teacher[:, :-1].clone())
    shifted = ALL[name](student[:, :-1], teacher[:, :-1])
    close(shifted, wanted)
    found = gradient(shifted, student)
    assert (found[:, -1] == 0).all()
    flat = ALL[name](student[:, :-1].flatten(0, 1), teacher[:, :-1].flatten(0, 1))
    close(flat, wanted)
    close(gradient(flat, student), found)


def test_nothing_at_all():
    student = torch.zeros(0, 3, 5, requires_grad=True)
    loss = forward_kl(student, torch.zeros(0, 3, 5))
    loss.backward()
    assert loss == 0
    assert student.grad.shape == (0, 3, 5)


@every_loss
def test_the_teacher_is_constant(name):
    student, teacher = pair(23, 2, 3, 5)
    teacher.requires_grad_()
    ALL[name](student, teacher).backward()
    assert teacher.grad is None


def test_a_loss_may_be_differentiated_again_after_it_was():
    student, teacher = pair(24, 2, 3, 5)
    loss = forward_kl(student * 2, teacher)
    first = torch.autograd.grad(loss, student, retain_graph=True)[0].clone()
    close(torch.autograd.grad(3 * loss, student)[0], 3 * first)


def test_memory_is_that_of_the_gradient_and_its_multiple():
    """Plain autograd holds seven tensors of the size of the logits for jsd."""
    student = torch.zeros(16, 128, 2048, requires_grad=True)
    teacher = torch.ones(16, 128, 2048)

    def call():
        return torch.autograd.grad(jsd(student, teacher), student)

    size = student.numel() * 4
    assert memory_of(call).allocated < 2 * size + 16 * slabs.ELEMENTS["cpu"] * 4


# Wrong use.


def test_errors_name_both_sides():
    student, teacher = torch.zeros(2, 3, 5), torch.zeros(2, 3, 5)
    for temperature in (0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="temperature is .*; it must be above 0 and finite"):
            forward_kl(student, teacher, None, temperature)
    with pytest.raises(ValueError, match=r"vocabulary of 5, the teacher one of 7: .*cross_tokenizer"):
        forward_kl(student, torch.zeros(2, 3, 7))
    with pytest.raises(
        ValueError, match=r"teacher_logits have shape \(2, 4, 5\), but student_logits \(2, 3, 5\)"
    ):
        reverse_kl(student, torch.zeros(2, 4, 5))
    with pytest.raises(ValueError, match=r"mask has shape \(2, 4\), but the tokens \(2, 3\)"):
        tvd(student, teacher, torch.ones(2, 4))
    with pytest.raises(ValueError, match=r"of shape \(5,\); floating-point \(batch, tokens, vocabulary\)"):
        tvd(torch.zeros(5), torch.zeros(5))
    with pytest.raises(ValueError, match=r"student_logits are torch.int64"):
        tvd(torch.zeros(2, 5, dtype=torch.int64), torch.zeros(2, 5))
    for beta in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="beta is .*; it must be between 0 and 1"):
            jsd(student, teacher, beta=beta)
        with pytest.raises(ValueError, match="lam is .*; it must be between 0 and 1"):
            skew(student, teacher, lam=beta)
    with pytest.raises(ValueError, match="num_items is -1; it must be 0 or more"):
        forward_kl(student, teacher, num_items=-1)
    with pytest.raises(
        ValueError, match=r"labels are torch.int64 of shape \(2,\); token ids \(2, 3\) are needed"
    ):
        hard_data(student, torch.zeros(2, dtype=torch.int64))
    labels = torch.zeros(2, 3, dtype=torch.int64)
    labels[1, 2] = -100
    with pytest.raises(
        ValueError, match="the label at sequence 1, token 2 is -100, but the vocabulary is 0 to 4"
    ):
        hard_data(student, labels)


@pytest.mark.parametrize("temperature", [1.0, 0.5, 3.0])
@pytest.mark.parametrize("masked", [False, True])
def test_the_gradient_by_hand_of_soft_targets_is_that_of_autograd(temperature, masked):
    student, teacher = pair(5, 3, 7, 11)
    teacher[0, 1, 2:5] = -math.inf
    mask = torch.rand(3, 7, generator=torch.Generator().manual_seed(0)) < 0.6 if masked else None
    ours = gradient(3 * forward_kl(student, teacher, mask, temperature), student)

    log_q, log_p = ((x / temperature).log_softmax(-1) for x in (student, teacher))
    kl = torch.nn.functional.kl_div(log_q, log_p, reduction="none", log_target=True).nan_to_num(0).sum(-1)
    mean = kl.mean() if mask is None else kl[mask].mean()
    close(ours, gradient(3 * temperature**2 * mean, student))
    assert torch.autograd.gradcheck(lambda x: forward_kl(x, teacher, mask, temperature), student)


def test_the_gradient_by_hand_in_half_precision_is_that_of_float64():
    student, teacher = pair(6, 2, 9, 300)
    wanted = gradient(forward_kl(student, teacher.half().double()), student)
    narrow = student.detach().float().requires_grad_()
    found = gradient(forward_kl(narrow, teacher.half()), narrow)
    close(found.double(), wanted, rtol=1e-5, atol=1e-9)
    student_and_teacher = narrow.detach().requires_grad_()
    assert not gradient(forward_kl(student_and_teacher, narrow.detach()), student_and_teacher).any()
