"""Next-token training: the loss is that of the completions, its parts add up, and it learns what can be learned."""

import math

import pytest
import torch
import torch.nn.functional as F

from lab.core.lm.not_finite import NotFinite
from lab.core.lm.scoring import Sequences, log_probs
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
