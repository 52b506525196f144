"""Next-token training: the loss is that of the completions, its parts add up, and it learns what can be learned."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from lab.core.lm import training
from lab.core.lm.gradients import add_gradients
from lab.core.lm.not_finite import NotFinite
from lab.core.lm.scoring import Sequences, joined, log_probs
from lab.core.lm.training import Recipe, adamw, examples, learn, optimizers_of, schedule, step_all, train

PAIRS = [([2, 3], [4, 5, 6, 1]), ([7], [8, 1]), ([2, 2, 2, 2], [9] * 9 + [1]), ([3, 4], [1])]


def test_log_probs_are_those_of_the_completions_alone(make_model):
    model, data = make_model(), examples(PAIRS, pad=0)
    found, entropy = log_probs(model, data)
    for row, (prompt, completion) in enumerate(PAIRS):
        ids = torch.tensor([[*prompt, *completion]])
        all_log_p = F.log_softmax(model(ids)[0], -1)
        for i, token in enumerate(completion):
            log_p = all_log_p[len(prompt) + i - 1]
            torch.testing.assert_close(found[row, i], log_p[token], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(entropy[row, i], -(log_p.exp() * log_p).sum(), rtol=1e-4, atol=1e-5)
        assert not found[row, len(completion) :].any()


def flat_gradient(model):
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


@pytest.mark.parametrize("parts", [1, 2, 3, 9])
def test_parts_of_a_batch_add_up_to_its_gradient(make_model, parts):
    model, data = make_model(), examples(PAIRS, pad=0)
    log_probs(model, data)[0].sum().backward()
    whole = flat_gradient(model)
    model.zero_grad()
    rows = list(data.by_length(parts))
    assert sorted(torch.cat(rows).tolist()) == [0, 1, 2, 3] and len(rows) <= parts
    for part in rows:
        log_probs(model, data.rows(part))[0].sum().backward()
    torch.testing.assert_close(flat_gradient(model), whole, rtol=1e-3, atol=3e-4)


def test_a_prompt_that_is_read_once_for_all_its_completions_changes_nothing(make_model):
    """Groups of 3, with one row dropped, prompts of 4 to 7 tokens, against the same rows as if no two were alike."""
    model = make_model().double()
    prompts = [[3, 4, 5, 6], [2] * 7, [7, 8, 2, 3, 9]]
    completions = torch.randint(2, 11, (9, 6), generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([6, 1, 3, 2, 2, 5, 4, 6, 1])
    data = joined(prompts, completions, lengths, pad=0).rows(torch.tensor([8, 0, 1, 3, 4, 5, 2, 6]))
    alone = replace(data, prompts=torch.arange(8))
    found = []
    for sequences in (data, alone):
        model.zero_grad()
        logp, entropy = log_probs(model, sequences)
        (logp * torch.linspace(-1, 1, 8, dtype=logp.dtype)[:, None]).sum().backward()
        found.append((logp, entropy, flat_gradient(model)))
    # The head's logits become float32: a tolerance of single precision.
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-6)


def test_several_cores_find_the_gradient_of_one(make_model, two_threads):
    """Five parts on two cores: two share a core, each on its own graph, and the sum is the sum."""
    data, found = examples(PAIRS * 5, pad=0), []
    for threads in (1, 2, 2):
        torch.set_num_threads(threads)
        model = make_model()

        def loss_of(rows, model=model):
            loss = log_probs(model, data.rows(rows))[0].sum()
            return loss, sorted(rows.tolist())

        parts = list(data.by_length(5))
        returned = add_gradients(model, parts, loss_of)
        assert returned == [sorted(part.tolist()) for part in parts] and torch.get_num_threads() == threads
        found.append(flat_gradient(model))
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-4)
    assert torch.equal(found[1], found[2])


def test_an_error_on_one_core_is_raised_and_the_threads_are_given_back(make_model, two_threads):
    def loss_of(rows):
        raise ValueError(f"part of {len(rows)}")

    with pytest.raises(ValueError, match="part of"):
        add_gradients(make_model(), list(examples(PAIRS, pad=0).by_length(2)), loss_of)
    assert torch.get_num_threads() == 2


def test_it_learns_the_entropy_of_its_data(make_model):
    """Two answers, one three times as often: no model can do better than their entropy, and this one gets there."""
    model = make_model()
    data = examples([([2], [3, 1])] * 3 + [([2], [4, 1])], pad=0)
    losses = []
    recipe = Recipe(steps=120, batch=4, lr=1e-2)
    train(
        model,
        data,
        recipe,
        generator=torch.Generator().manual_seed(0),
        after_step=lambda s, x: losses.append(x),
    )
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / 2  # of two tokens one is certain
    assert losses[0] > 2 * entropy and losses[-1] == pytest.approx(entropy, abs=0.02)


def test_the_same_seed_trains_the_same_model(make_model):
    weights = []
    for _ in range(2):
        model = make_model()
        train(model, examples(PAIRS, 0), Recipe(5, batch=3), generator=torch.Generator().manual_seed(3))
        weights.append(torch.cat([p.flatten() for p in model.parameters()]))
    assert torch.equal(*weights)


def test_a_loss_that_is_not_finite_stops_at_once(make_model):
    model = make_model()
    with torch.no_grad():
        model.norm.weight[0] = math.nan
    with pytest.raises(NotFinite, match="the loss is nan at step 1"):
        train(model, examples(PAIRS, 0), Recipe(5), generator=torch.Generator())


def test_the_rate_rises_then_falls():
    rates = [schedule(step, 100, 0.1) for step in range(1, 101)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == 1.0 and rates[-1] == pytest.approx(0.1)
    assert rates[:10] == sorted(rates[:10]) and rates[9:] == sorted(rates[9:], reverse=True)


def test_rows_drop_the_columns_that_they_do_not_need():
    data = examples(PAIRS, pad=0)
    part = data.rows(torch.tensor([1, 3]))
    assert isinstance(part, Sequences) and part.ids.tolist() == [[7, 8, 1], [3, 4, 1]]


def test_what_has_no_gradient_does_not_move(make_model):
    """No optimizer here decays weights: neither AdamW nor Muon, in training and in learning from reward."""
    model = make_model()
    before = [p.detach().clone() for p in model.parameters()]
    for optimizers in (
        [pair[0] for pair in optimizers_of(model, Recipe(1))],
        [adamw(model.parameters(), 0.1)],
    ):
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = 0.1
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        step_all(optimizers)
        assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_matrices_of_blocks_go_to_muon_and_the_rest_to_adamw_each_once(make_model):
    model, recipe = make_model(), Recipe(1, lr=0.5, matrix_lr=0.25)
    whose = {}
    for optimizer, highest in optimizers_of(model, recipe):
        for parameter in (p for group in optimizer.param_groups for p in group["params"]):
            assert id(parameter) not in whose
            whose[id(parameter)] = type(optimizer).__name__, highest
    for name, parameter in model.named_parameters():
        in_a_block = name.startswith("blocks.") and parameter.dim() == 2
        assert whose.pop(id(parameter)) == (("Muon", 0.25) if in_a_block else ("AdamW", 0.5))
    assert not whose


@pytest.mark.parametrize("batch", [3, 4])  # 4 does not divide a pass of 9: a batch goes on into the next pass
def test_a_pass_shows_every_example_once_and_the_next_in_another_order(make_model, monkeypatch, batch):
    data, shown, real = examples([([2], [token, 1]) for token in range(2, 11)], pad=0), [], training.learn

    def watched(model, rows, parts):
        shown.append(rows.ids[:, 1].tolist())
        return real(model, rows, parts)

    monkeypatch.setattr(training, "learn", watched)
    train(make_model(), data, Recipe(36 // batch, batch=batch), generator=torch.Generator().manual_seed(0))
    assert all(len(rows) == batch for rows in shown)
    flat = sum(shown, [])
    passes = [flat[first : first + 9] for first in range(0, 36, 9)]
    assert all(sorted(one) == list(range(2, 11)) for one in passes)
    assert len({tuple(one) for one in [*passes, range(2, 11)]}) == 5


def test_the_rate_and_the_clip_reach_the_weights(make_model):
    """A rate of nothing moves nothing; a gradient that is clipped to nothing hardly moves what Adam divides by its size."""
    data = examples(PAIRS, 0)

    def moved(**changes):
        model = make_model()
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        train(model, data, Recipe(3, batch=4, **changes), generator=torch.Generator().manual_seed(0))
        return {name: float((p.detach() - before[name]).abs().max()) for name, p in model.named_parameters()}

    rates = moved(lr=0.0, matrix_lr=1e-2)
    assert rates["head.weight"] == 0 < rates["blocks.0.qkv.weight"]
    rates = moved(lr=1e-3, matrix_lr=0.0)
    assert rates["blocks.0.qkv.weight"] == 0 < rates["head.weight"]
    assert moved(clip=1e-12)["head.weight"] < 1e-3 * moved()["head.weight"]


def test_the_loss_is_the_mean_over_tokens(make_model):
    """Of a model that knows nothing the logarithm of its vocabulary; a long completion counts by its tokens."""
    model, data = make_model(), examples(PAIRS, pad=0)
    gradients = []
    for parts in (1, 3):
        model.zero_grad()
        loss = learn(model, data, parts)
        logp, _ = log_probs(model, data)
        assert loss == pytest.approx(-float(logp.detach().sum()) / sum(len(c) for _, c in PAIRS), rel=1e-5)
        gradients.append(flat_gradient(model))
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-5)
    model.zero_grad()
    with torch.no_grad():
        model.head.weight.zero_()
    assert learn(model, data, 2) == pytest.approx(math.log(11), rel=1e-6)


def test_the_temperature_of_log_probs_divides_the_logits(make_model):
    model, data = make_model(), examples(PAIRS[:1], pad=0)
    sharper, _ = log_probs(model, data, 0.5)
    with torch.no_grad():
        model.head.weight.mul_(2)
    torch.testing.assert_close(log_probs(model, data)[0], sharper, rtol=1e-4, atol=1e-5)


def test_parts_are_of_like_length_and_about_equal_work():
    data = examples([([2], [3] * n) for n in (1, 40, 2, 3, 38, 1, 39, 2)], pad=0)
    parts = [sorted(data.lengths[part].tolist()) for part in data.by_length(3)]
    assert [x for part in parts for x in part] == sorted(data.lengths.tolist())  # like beside like
    assert max(sum(part) for part in parts) <= 80


def test_log_probs_of_half_precision_are_computed_in_single(make_model):
    model, data = make_model().bfloat16(), examples(PAIRS, pad=0)
    found, entropy = log_probs(model, data)
    logits = model(data.ids[:1, :-1])[0].float()
    wanted = logits.log_softmax(-1)[torch.arange(1, 5), data.ids[0, 2:6]]
    assert found.dtype == entropy.dtype == torch.float32
    torch.testing.assert_close(found[0, :4], wanted, rtol=0, atol=0.1)  # the states are those of bfloat16
    assert not torch.equal(found, found.bfloat16().float())
