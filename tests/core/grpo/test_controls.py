"""The controls of GRPO: next-token training on demonstrations, and on the model's own right answers."""

import copy
from fractions import Fraction

import numpy as np
import pytest
import torch

from lab.core.grpo import policy_loss
from lab.core.grpo.config import GRPOConfig
from lab.core.grpo.rewards import WeightedRewards, format
from lab.core.grpo.tasks import Mixture
from lab.core.grpo.trainer import make_policy, train_step
from lab.core.lm.scoring import log_probs
from lab.core.lm.training import adamw

SMALL = {"num_prompts": 6, "num_generations": 4, "max_completion_length": 12, "learning_rate": 1e-2}


def likes_ones(random):
    return WeightedRewards(
        {"ones": lambda problems, completions: [float(text.count("1") > 1) for text in completions]}
    )


def weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()]).clone()


@pytest.mark.parametrize("iterations", [1, 3])
def test_rft_is_a_policy_gradient_with_advantages_of_one_and_nothing(make_model, tiny_task, iterations):
    """Averaged over the tokens of what is learnt: then it is next-token training on that."""
    settings = GRPOConfig(**SMALL, algorithm="rft", num_iterations=iterations)
    trained, again = make_policy(make_model(), settings), make_model()
    result = train_step(trained, tiny_task, likes_ones, settings, seed=3, step=1)
    batch = result.batch
    assert torch.equal(batch.advantages, batch.rewards) and 0 < batch.rewards.mean() < 1

    optimizer = adamw(again.parameters(), settings.learning_rate)
    mask = batch.completion_mask & (batch.rewards == 1)[:, None]
    for _ in range(iterations):
        logp, _ = log_probs(again, batch.sequences)
        policy_loss(logp, logp, batch.rewards, mask, loss_type="bnpo").backward()
        torch.nn.utils.clip_grad_norm_(again.parameters(), settings.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
    torch.testing.assert_close(weights(trained.model), weights(again), rtol=1e-4, atol=1e-5)


def test_rft_learns_the_completions_of_maximal_reward(make_model, tiny_task):
    def two(random):
        halves = {"ones": lambda problems, completions: [float("1" in text) for text in completions],
                  "short": lambda problems, completions: [float(len(text) < 25) for text in completions],
                  "watched": format}  # fmt: skip
        return WeightedRewards(halves, {"ones": 0.3, "watched": 0.0})

    settings = GRPOConfig(**SMALL, algorithm="rft")
    batch = train_step(make_policy(make_model(), settings), tiny_task, two, settings, seed=3, step=1).batch
    wanted = [float("1" in text and len(text) < 25) for text in batch.rollout.texts]
    assert batch.advantages.tolist() == wanted and 0 < sum(wanted) < len(wanted)


def test_rft_learns_nothing_where_nothing_is_right(make_model, tiny_task):
    settings = GRPOConfig(**SMALL, algorithm="rft")
    trained = make_policy(make_model(), settings)
    before = weights(trained.model)
    nothing = WeightedRewards({"none": lambda problems, completions: [0.0] * len(completions)})
    result = train_step(trained, tiny_task, lambda random: nothing, settings, seed=3, step=1)
    assert torch.equal(weights(trained.model), before) and result.metrics["grad_norm"] == 0


def test_rounds_of_rejection_sampling_follow_star():
    """Each trained to its end: p' = p·a_L / (p·a_L + (1−p)·a_S). With a_L = 1 and a_S = 1/2 that is 2p/(1+p).

    All answers of a policy that thinks with chance p, as often as it gives them: long and right, short and right, short
    and wrong. What rft minimises has its only minimum, for it is convex, where the gradient is 0.
    """
    p = Fraction(1, 5)
    probabilities = [p]
    for _ in range(4):
        n = 2 * p.denominator
        long, short = int(p * n), int((1 - p) * n) // 2
        right = torch.tensor([1.0] * (long + short) + [0.0] * short, dtype=torch.float64)
        thinks = torch.tensor([1.0] * long + [0.0] * 2 * short, dtype=torch.float64)
        mask = torch.arange(4) < torch.where(thinks > 0, 4, 2)[:, None]  # traces are longer

        def slope(share, thinks=thinks, right=right, mask=mask):
            logit = torch.tensor(share / (1 - share), dtype=torch.float64).log().requires_grad_()
            first = torch.where(
                thinks > 0, torch.nn.functional.logsigmoid(logit), torch.nn.functional.logsigmoid(-logit)
            )
            logp = torch.cat([first[:, None], torch.zeros(len(first), 3, dtype=torch.float64)], 1)
            loss = policy_loss(logp, logp, right, mask & (right > 0)[:, None], loss_type="bnpo")
            return torch.autograd.grad(loss, logit)[0].item()

        p = 2 * p / (1 + p)
        assert slope(float(p)) == pytest.approx(0, abs=1e-15)
        assert slope(float(p) - 0.01) < -1e-3 and slope(float(p) + 0.01) > 1e-3
        probabilities.append(p)
    assert probabilities == [Fraction(1, 5), Fraction(1, 3), Fraction(1, 2), Fraction(2, 3), Fraction(4, 5)]


def test_sft_draws_demonstrations_of_the_base_depths_with_enough_tokens(make_model, tiny_task, monkeypatch):
    shown = []

    def watched(random, count, mixture):
        made = tiny_task.demonstrations(random, count, mixture)
        shown.extend(made)
        return made

    from dataclasses import replace

    task = replace(tiny_task, demonstrations=watched)
    mixture = Mixture(long=1.0, noise=0.0, slips=0.0, leaps=0.0)
    for tokens, count in ((None, 24), (500, None)):
        settings = GRPOConfig(**SMALL, algorithm="sft", mixture=mixture, sft_tokens=tokens)
        result = train_step(make_policy(make_model(), settings), task, likes_ones, settings, seed=3, step=1)
        assert result.batch is None and max(problem.difficulty for problem, _ in shown) == 2
        if tokens is None:
            assert len(shown) == count
            assert result.metrics["completions/mean_length"] == result.metrics["num_tokens"] / count
        else:
            assert tokens <= result.metrics["num_tokens"] < tokens + tiny_task.longest_completion
        assert all("<think>" in text for _, text in shown)


def test_sft_learns_its_demonstrations(make_model, tiny_task):
    settings = GRPOConfig(**SMALL, algorithm="sft")
    trained = make_policy(make_model(), settings)
    loss = [
        train_step(trained, tiny_task, likes_ones, settings, seed=3, step=step).metrics["loss"]
        for step in range(1, 31)
    ]
    assert np.mean(loss[-5:]) < 0.5 * np.mean(loss[:5])


def test_each_step_of_sft_has_its_own_demonstrations(make_model, tiny_task):
    settings = GRPOConfig(**SMALL, algorithm="sft")
    model = make_model()

    def after(step):
        trained = make_policy(copy.deepcopy(model), settings)
        train_step(trained, tiny_task, likes_ones, settings, seed=3, step=step)
        return weights(trained.model)

    assert torch.equal(after(5), after(5)) and not torch.equal(after(5), after(6))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"algorithm": "sfd"}, "no algorithm sfd. Did you mean sft?"),
        ({"algorithm": "rft", "beta": 0.1}, "beta is 0.1, but rft is held to no reference: make it 0"),
    ],
)
def test_what_cannot_be(changes, message):
    with pytest.raises(ValueError, match=message):
        GRPOConfig(**changes)
