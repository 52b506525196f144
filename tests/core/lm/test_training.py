"""Next-token training: the loss is that of the completions, its parts add up, and it learns what can be learned."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from lab.core.lm.gradients import add_gradients
from lab.core.lm.not_finite import NotFinite
from lab.core.lm.scoring import Sequences, joined, log_probs
from lab.core.lm.training import Recipe, examples, schedule, train

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
        seen = add_gradients(model, parts, loss_of)
        assert seen == [sorted(part.tolist()) for part in parts] and torch.get_num_threads() == threads
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
    few = data.rows(torch.tensor([1, 3]))
    assert isinstance(few, Sequences) and few.ids.tolist() == [[7, 8, 1], [3, 4, 1]]
