"""The compiled passes and the function made of them, against float64, autograd and the PyTorch form of the same model."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lab.core.compiled.ahead import not_kept
from lab.core.compiled.switch import SWITCH
from lab.core.distill.kernels import kernels_of_distillation
from lab.core.distill.losses import jsd, reverse_kl, tvd
from lab.core.lm import blocks, workspace
from lab.core.lm.chosen import chosen_log_probs
from lab.core.lm.generation import generate
from lab.core.lm.gradients import add_gradients
from lab.core.lm.kernels import kernels_of_training
from lab.core.lm.packed import packed, rectangle
from lab.core.lm.scoring import joined, log_probs
from lab.core.lm.training import Recipe, examples, train
from lab.core.trial import Kernel

pytest.importorskip("numba")

INF, NAN = math.inf, math.nan
EPSILON = torch.finfo(torch.float32).eps


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def run(kernel, *arguments):
    kernel(*(x.numpy() if isinstance(x, torch.Tensor) else x for x in arguments))


def rms_norm(x, gain):
    return x / (x.square().mean(-1, keepdim=True) + EPSILON).sqrt() * gain


def gradient(function, d, *inputs):
    inputs = [x.double().requires_grad_() for x in inputs]
    found = function(*inputs)
    return found.detach(), torch.autograd.grad(found, inputs, d.double())


def close(found, expected, rtol=2e-6, atol=2e-6):
    torch.testing.assert_close(found.double(), expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize(("rows", "width"), [(1, 1), (3, 17), (130, 33)])
def test_the_norm_and_its_gradient(rows, width):
    from lab.core.lm.numba import rows as kernels

    x, more, gain, d = (numbers(rows, width, seed=i) for i in range(4))
    gain, before = gain[0].contiguous(), numbers(rows, width, seed=9)
    y, scale = torch.empty(rows, width), torch.empty(rows)
    run(kernels.norm, x, gain, EPSILON, y, scale)
    value, (dx, d_gain) = gradient(rms_norm, d, x, gain)
    close(y, value)
    again, found, found_gain = torch.empty(rows, width), before.clone(), torch.ones(width)
    run(kernels.norm_backward, d, x, scale, gain, found, found_gain, again)
    close(found, dx + before, rtol=1e-5, atol=1e-5)
    close(found_gain, d_gain + 1, rtol=1e-5, atol=1e-5)
    close(again, value)
    total = more.clone()
    run(kernels.add_and_norm, x, total, gain, EPSILON, y, scale)
    assert torch.equal(total, x + more)
    close(y, rms_norm(x.double() + more.double(), gain.double()))


@pytest.mark.parametrize(("rows", "width"), [(1, 1), (3, 17), (5, 64)])
def test_swiglu_and_its_gradient(rows, width):
    from lab.core.lm.numba import rows as kernels

    def formula(x):
        gate, up = x.chunk(2, -1)
        return F.silu(gate) * up

    x, d = 4 * numbers(rows, 2 * width), numbers(rows, width, seed=1)
    x[0, 0], x[-1, width - 1] = 90.0, -90.0  # where e^x or its inverse leaves float32
    y, again, dx = torch.empty(rows, width), torch.empty(rows, width), torch.empty(rows, 2 * width)
    run(kernels.swiglu, x, y)
    run(kernels.swiglu_backward, d, x, dx, again)
    value, [expected] = gradient(formula, d, x)
    close(y, value)
    close(dx, expected)
    close(again, value)


def test_what_is_not_finite_stays_so():
    from lab.core.lm.numba import rows as kernels

    x = numbers(4, 34)
    x[0, 3], x[1, 3], x[2, 20] = NAN, INF, -INF
    y, scale, gated = torch.empty(4, 34), torch.empty(4), torch.empty(4, 17)
    run(kernels.norm, x, torch.ones(34), EPSILON, y, scale)
    assert y.isfinite().all(1).tolist() == [False, False, False, True]
    run(kernels.swiglu, x, gated)
    assert gated.isfinite().all(1).tolist() == [False, False, False, True]
    assert gated[0, 3].isnan() and gated[1, 3].isinf() and gated[2, 3].isinf()


def test_positions_turn_pairs_and_back():
    from lab.core.lm.numba import rows as kernels
    from lab.core.position.rotary import frequencies, rotated, turning_by

    turns = turning_by(frequencies(6, 100.0))(torch.arange(9)).unsqueeze(1)
    at = torch.tensor([0, 8, 3, 3], dtype=torch.int32)
    x = numbers(4, 5 * 6)
    found = x.clone()
    table = torch.view_as_real(turns).squeeze(1)
    run(kernels.rotate, found, at, table, 3, True)
    expected = rotated(x[:, :18].reshape(4, 1, 3, 6), turns[at.long()].unsqueeze(1)).reshape(4, 18)
    torch.testing.assert_close(found[:, :18], expected)
    assert torch.equal(found[:, 18:], x[:, 18:])
    run(kernels.rotate, found, at, table, 3, False)
    torch.testing.assert_close(found, x)


def attention_by_hand(qkv, places, heads, kv_heads, bias):
    x = qkv.view(len(qkv), heads + 2 * kv_heads, -1)
    q, k, v = x.split([heads, kv_heads, kv_heads], 1)
    found = []
    for s, of in enumerate(places.beginning.tolist()):
        own = torch.arange(*places.first[s : s + 2].tolist())
        seen = own if of < 0 else torch.cat([torch.arange(*places.first[of : of + 2].tolist()), own])
        K, V = (t[seen].repeat_interleave(heads // kv_heads, 1) for t in (k, v))
        S = torch.einsum("qhc,khc->hqk", q[own], K) / math.sqrt(q.shape[-1])
        future = torch.ones(len(own), len(seen), dtype=torch.bool).triu(len(seen) - len(own) + 1)
        if bias.numel():
            distance = torch.arange(len(seen) - len(own), len(seen))[:, None] - torch.arange(len(seen))
            S = S + bias[:, distance.clamp(min=0)]
        P = S.masked_fill(future, -INF).softmax(-1)
        found.append(torch.einsum("hqk,khc->qhc", P, V).flatten(1))
    return torch.cat(found)


@pytest.mark.parametrize(("heads", "kv_heads"), [(1, 1), (4, 2), (6, 2), (5, 1)])
@pytest.mark.parametrize("d", [2, 8, 12, 32, 66])
@pytest.mark.parametrize("with_bias", [False, True])
def test_attention_and_its_gradient(heads, kv_heads, d, with_bias):
    """Lengths around every size of a tile, behind beginnings of 3, 17 and 1 tokens and behind none."""
    from lab.core.lm.numba import attention

    if with_bias and attention.LANES % (heads // kv_heads):
        pytest.skip("a tile must hold whole groups of heads")

    lengths = torch.tensor([3, 1, 17, 5, 64, 1, 16, 40, 100, 2])
    places = packed(lengths, torch.tensor([-1, -1, -1, 0, 2, 0, 1, -1, 2, 2]))
    qkv, d_o = (
        2 * numbers(int(lengths.sum()), (heads + 2 * kv_heads) * d),
        numbers(int(lengths.sum()), heads * d, seed=1),
    )
    o, lse, d_qkv = torch.full_like(d_o, NAN), torch.full((len(qkv), heads), NAN), torch.full_like(qkv, NAN)
    bias = 2 * numbers(heads, 117, seed=2) if with_bias else torch.empty(0, 0)
    d_bias = torch.ones_like(bias)
    shape = places.first, places.beginning, heads, kv_heads, d**-0.5
    run(attention.attend, qkv, *shape, bias, o, lse)
    run(attention.attend_backward, d_o, qkv, *shape, bias, lse, d_qkv, d_bias)
    value, [expected, *of_bias] = gradient(
        lambda x, *b: attention_by_hand(x, places, heads, kv_heads, b[0] if b else bias),
        d_o,
        *[qkv, bias][: 1 + with_bias],
    )
    close(o, value, rtol=1e-5, atol=1e-5)
    assert (d_qkv - expected).norm() < 1e-5 * expected.norm() and (d_qkv - expected).abs().max() < 1e-4
    for each in of_bias:  # it is added to what is there
        assert (d_bias - 1 - each).norm() < 1e-5 * each.norm()


def test_a_nan_in_one_sequence_is_not_in_another():
    from lab.core.lm.numba import attention

    places = packed(torch.tensor([20, 7, 30]), torch.tensor([-1, -1, 1]))
    qkv = numbers(57, 3 * 8)
    qkv[3] = NAN
    o, lse, d_qkv = torch.empty(57, 8), torch.empty(57, 1), torch.empty(57, 24)
    shape = places.first, places.beginning, 1, 1, 8**-0.5
    none = torch.empty(0, 0)
    run(attention.attend, qkv, *shape, none, o, lse)
    run(attention.attend_backward, numbers(57, 8), qkv, *shape, none, lse, d_qkv, none)
    assert o[3:20].isnan().all() and o[20:].isfinite().all() and d_qkv[20:].isfinite().all()


@pytest.mark.parametrize("vocabulary", [1, 3, 18, 1000])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_chosen_log_probs_and_their_gradient(vocabulary, temperature):
    states, weight = numbers(7, 5), 3 * numbers(vocabulary, 5, seed=1)
    at, tokens = torch.tensor([0, 6, 2, 2, 2, 5]), torch.tensor([0, 1, 2, 0, 1, 2]) % vocabulary
    d = numbers(6, seed=2)

    def formula(states, weight):
        log_p = (states[at] @ weight.mT / temperature).log_softmax(-1)
        return log_p.gather(1, tokens[:, None]).squeeze(1)

    value, expected = gradient(formula, d, states, weight)
    log_p = (states[at].double() @ weight.double().mT / temperature).log_softmax(-1)
    states.requires_grad_(), weight.requires_grad_()
    for _ in range(2):  # with a gradient, then without
        found, entropy = chosen_log_probs(states, at, weight, tokens, temperature)
        close(found, value, rtol=1e-5, atol=1e-5)
        close(entropy, -(log_p.exp() * log_p).sum(-1), rtol=1e-5, atol=1e-5)
        assert not entropy.requires_grad
        if found.requires_grad:
            gradients = torch.autograd.grad(found, (states, weight), d)
            close(gradients[0], expected[0], rtol=1e-5, atol=1e-5)
            close(gradients[1], expected[1], rtol=1e-5, atol=1e-5)
            states, weight = states.detach(), weight.detach()


def test_far_apart_and_infinite_logits():
    from lab.core.lm.numba.chosen import chosen, chosen_backward

    z = torch.tensor(
        [[0.0, -INF, 300.0], [1e30, 0.0, 0.0], [NAN, 0.0, 0.0], [INF, 0.0, 0.0], [-500.0, -501.0, -INF]]
    )
    tokens, out = torch.tensor([0, 0, 1, 1, 1]), torch.empty(4, 5)
    run(chosen, z, tokens, 1.0, *out)
    log_p = z.double().log_softmax(-1)
    torch.testing.assert_close(out[0].double(), log_p[range(5), tokens], equal_nan=True)
    entropy = -(log_p.exp() * log_p.clamp(min=-1e4)).sum(-1)
    torch.testing.assert_close(out[1].double(), entropy, equal_nan=True, rtol=1e-6, atol=1e-6)
    dz = torch.empty_like(z)
    run(chosen_backward, torch.ones(5), z, tokens, 1.0, out[2], out[3], dz)
    torch.testing.assert_close(dz.double(), F.one_hot(tokens, 3) - log_p.exp(), equal_nan=True)


def both_ways(monkeypatch, compute):
    found = []
    for switch in ("1", "0"):
        monkeypatch.setenv(SWITCH, switch)
        found.append(compute())
    return found


def of_groups(model, temperature=1.0):
    prompts = [[3, 4, 5, 6], [2] * 7, [7, 8, 2, 3, 9], [4]]
    completions = torch.randint(2, 11, (12, 9), generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([6, 1, 3, 2, 2, 5, 4, 9, 1, 7, 1, 1])
    data = joined(prompts, completions, lengths, pad=0).rows(torch.tensor([8, 0, 1, 3, 4, 5, 2, 6, 9, 10, 7]))
    logp, entropy = log_probs(model, data, temperature)
    model.zero_grad()
    (logp * torch.linspace(-1, 1, logp.numel()).view_as(logp)).sum().backward()
    return logp.detach(), entropy, {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.parametrize("rows", [5, 768])
@pytest.mark.parametrize(
    "shape", [{}, {"heads": 2, "kv_heads": 1, "layers": 3}, {"d_model": 36, "heads": 3, "kv_heads": 3}]
)
def test_the_model_is_the_one_of_pytorch_operations(make_model, monkeypatch, rows, shape):
    monkeypatch.setattr(blocks, "ROWS", rows)
    model = make_model(**shape)
    (logp, entropy, gradients), expected = both_ways(monkeypatch, lambda: of_groups(model, 0.8))
    torch.testing.assert_close((logp, entropy), expected[:2], rtol=1e-4, atol=1e-4)
    for name, found in gradients.items():
        of_torch = expected[2][name]
        assert (found - of_torch).norm() <= 5e-5 * of_torch.norm(), name


def test_states_of_rows_of_one_length_with_and_without_a_gradient(make_model, monkeypatch):
    model, ids = make_model(), torch.randint(0, 11, (3, 13))
    found, expected = both_ways(monkeypatch, lambda: model.hidden(ids))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    monkeypatch.setenv(SWITCH, "1")
    assert "States" in type(found.grad_fn.next_functions[0][0]).__name__  # not PyTorch's operations twice
    for mode in torch.inference_mode, torch.no_grad:  # the memory of the first is used again
        with mode():
            assert torch.equal(model.hidden(ids), found)
    found.sum().backward()


def test_graphs_do_not_share_memory(make_model):
    """Two passes are alive at once, and one is gone through twice."""
    model, ids = make_model(), torch.randint(0, 11, (2, 3, 13))
    weights = list(model.parameters())

    def gradients(loss, **more):
        return torch.cat(
            [
                g.flatten()
                for g in torch.autograd.grad(loss, weights, allow_unused=True, **more)
                if g is not None
            ]
        )

    alone = [gradients(model.hidden(each).square().mean()) for each in ids]
    losses = [model.hidden(each).square().mean() for each in ids]
    assert torch.equal(gradients(losses[0], retain_graph=True), alone[0])
    assert torch.equal(gradients(losses[1]), alone[1]) and torch.equal(gradients(losses[0]), alone[0])


def test_memory_is_used_again_and_does_not_pile_up(make_model, monkeypatch):
    monkeypatch.setattr(workspace, "_unused", {})  # without what other tests have left
    model = make_model()
    for length in (5, 30, 8, 30, 3, 29):
        model.hidden(torch.zeros(2, length, dtype=torch.long)).sum().backward()
        assert len(workspace._unused) <= 4


def test_without_a_gradient_nothing_of_each_block_is_kept(make_model, monkeypatch):
    model, taken = make_model(layers=8), []
    monkeypatch.setattr(workspace, "_unused", {})
    monkeypatch.setattr(workspace, "_take", lambda size: taken.append(size) or torch.empty(size))
    ids = torch.zeros(4, 30, dtype=torch.long)
    model.hidden(ids)
    with torch.no_grad():
        model.hidden(ids)
    with_gradient, _, without, _ = taken  # the others are the memory of a part
    assert without < with_gradient / 4


@pytest.mark.parametrize("lengths", [[40] * 8, [3, 17, 1, 40, 40, 2, 40, 40, 39, 40, 35], [1] * 300])
def test_threads_share_the_sequences_where_there_is_no_gradient(make_model, two_threads, lengths):
    model = make_model()
    ids = torch.arange(sum(lengths)) % 11
    places = packed(torch.tensor(lengths), torch.full((len(lengths),), -1))
    expected = model.packed_states(ids, places)
    assert expected.requires_grad
    for without in (torch.no_grad, torch.inference_mode):
        with without():
            found = model.packed_states(ids, places)
        assert not found.requires_grad and torch.get_num_threads() == 2
        torch.testing.assert_close(found, expected.detach(), rtol=1e-5, atol=1e-5)


def test_the_same_threads_give_the_same_gradient(make_model, two_threads):
    model, found = make_model(), []
    data = examples([([2, 3], [4, 5, 6, 1]), ([7], [8, 1]), ([2] * 4, [9] * 9 + [1])] * 6, pad=0)
    for threads in (2, 2):
        torch.set_num_threads(threads)
        model.zero_grad()
        add_gradients(
            model, list(data.by_length(6)), lambda rows: (log_probs(model, data.rows(rows))[0].sum(), None)
        )
        found.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert torch.equal(*found)


def test_a_hook_inside_the_model_is_called(make_model):
    seen = []
    for name in ("embedding", "blocks.1.qkv", "norm"):
        model = make_model()
        model.get_submodule(name).register_forward_hook(lambda *_, name=name: seen.append(name))
        model.hidden(torch.zeros(1, 3, dtype=torch.long))
    assert seen == ["embedding", "blocks.1.qkv", "norm"]


def test_both_ways_train_alike(make_model, monkeypatch):
    """The curves part by rounding, which grows: 20 steps."""

    def losses():
        model, found = make_model(), []
        data = examples(
            [([2, 3], [4, 5, 6, 1]), ([7], [8, 1]), ([2] * 4, [9] * 9 + [1]), ([3, 4], [1])], pad=0
        )
        train(
            model,
            data,
            Recipe(20, batch=3),
            generator=torch.Generator().manual_seed(0),
            after_step=lambda _, x: found.append(x),
        )
        return found

    compiled, of_torch = both_ways(monkeypatch, losses)
    assert compiled == pytest.approx(of_torch, rel=1e-2, abs=1e-2) and compiled[-1] < 0.7 * compiled[0]


def test_places_of_packed_sequences():
    places = packed(torch.tensor([2, 3, 1, 2]), torch.tensor([-1, 0, 0, -1]))
    assert places.first.tolist() == [0, 2, 5, 6, 8] and places.longest == 5
    assert places.positions.tolist() == [0, 1, 2, 3, 4, 2, 0, 1]
    assert rectangle(2, 3).positions.tolist() == [0, 1, 2] * 2
    assert np.array_equal(rectangle(2, 3).beginning, [-1, -1])


def test_what_is_compiled_beforehand_is_all_that_a_training_compiles(make_model, monkeypatch):
    for kernel in kernels_of_distillation():
        kernel.call()
    model = make_model(d_model=24, heads=3, kv_heads=3, d_ff=17, layers=3)
    data = examples([([2, 3], [4, 5, 6, 1]), ([7], [8, 1]), ([2] * 4, [9] * 9 + [1])], pad=0)
    logits = numbers(2, 3, 9).requires_grad_()

    def train_and_sample():
        for temperature in (0.0, 0.7):
            generate(
                model,
                [[2], [3, 4]],
                num_generations=3,
                max_new_tokens=4,
                eos=1,
                pad=0,
                temperature=temperature,
            )
        train(model, data, Recipe(steps=1, batch=3), generator=torch.Generator().manual_seed(0))
        for loss in (reverse_kl, jsd, tvd):
            torch.autograd.grad(loss(logits, numbers(2, 3, 9)), logits)

    assert not not_kept([Kernel("a training", "", 0.0, train_and_sample)])
    monkeypatch.setenv(SWITCH, "0")
    assert not kernels_of_training()
