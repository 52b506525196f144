"""A step of the trainer: what may not change its gradient, what must, and how it stops."""

import copy
import math
from dataclasses import asdict

import pytest
import torch

from lab.core.grpo import group_advantages, policy_loss
from lab.core.grpo.config import PRESETS, GRPOConfig, grpo_config
from lab.core.grpo.losses import LOSS_TYPES
from lab.core.grpo.rewards import RewardError, WeightedRewards, random_reward
from lab.core.grpo.trainer import make_policy, train_step
from lab.core.lm.not_finite import NotFinite
from lab.core.lm.scoring import log_probs

SMALL = {"num_prompts": 6, "num_generations": 4, "max_completion_length": 12, "learning_rate": 1e-2}


def likes_ones(random):
    """Pays for the token 1, wherever it stands."""
    return WeightedRewards(
        {"ones": lambda problems, completions: [float(text.count("1") > 1) for text in completions]}
    )


def stepped(model, task, rewards=likes_ones, steps=1, first=1, trained=None, **changes):
    chosen = grpo_config(**SMALL | changes)
    trained = trained or make_policy(model, chosen)
    results = [
        train_step(trained, task, rewards, chosen, seed=3, step=step) for step in range(first, first + steps)
    ]
    return trained, results


def weights(trained):
    return torch.cat([parameter.detach().flatten() for parameter in trained.model.parameters()])


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_leaving_out_groups_without_spread_changes_nothing(make_model, tiny_task, loss_type):
    (kept, results), (dropped, _) = (
        stepped(make_model(), tiny_task, loss_type=loss_type, num_prompts=24, drop_zero_spread=drop)
        for drop in (False, True)
    )
    assert 0 < results[0].metrics["frac_reward_zero_std"] < 1
    torch.testing.assert_close(weights(kept), weights(dropped), rtol=1e-4, atol=1e-5)


EVERY = [{"loss_type": name} for name in LOSS_TYPES]


@pytest.mark.parametrize("changes", [*EVERY, {"beta": 0.1}, {"mask_truncated_completions": True}])
def test_the_parts_of_an_update_change_nothing(make_model, tiny_task, changes):
    # In float64: the first step of Adam has the size of the learning rate also where a gradient is mere rounding.
    one, many = (stepped(make_model().double(), tiny_task, parts=parts, **changes) for parts in (1, 5))
    torch.testing.assert_close(weights(one[0]), weights(many[0]), rtol=1e-4, atol=1e-5)
    for name in ("loss", "grad_norm", "kl"):
        if name in one[1][0].metrics:
            assert one[1][0].metrics[name] == pytest.approx(many[1][0].metrics[name], rel=1e-3, abs=1e-6)


@pytest.mark.parametrize(
    "changes", [*EVERY, {"loss_type": "dr_grpo", "scale_rewards": "none"}, {"beta": 0.1}]
)
@pytest.mark.parametrize("parts", [1, 4])
def test_a_step_is_one_on_the_loss_of_the_whole_batch(make_model, tiny_task, changes, parts):
    """Made again from what was sampled: loss, gradient and the length of it before it is clipped."""
    model = make_model().double()
    again = copy.deepcopy(model)
    # Longer than anything sampled: what dr_grpo divides by is neither a batch's width nor a part's.
    chosen = grpo_config(
        **SMALL | {"max_completion_length": 20, "parts": parts, "drop_zero_spread": False} | changes
    )
    _, results = stepped(
        model, tiny_task, **{"max_completion_length": 20, "parts": parts, "drop_zero_spread": False} | changes
    )
    batch = results[0].batch
    assert int(batch.sequences.lengths.max()) <= 20
    logp, _ = log_probs(again, batch.sequences)
    loss = policy_loss(
        logp,
        logp,
        group_advantages(batch.rewards, chosen.num_generations, chosen.scale_rewards),
        batch.completion_mask,
        loss_type=chosen.loss_type,
        max_completion_length=20,
        beta=chosen.beta,
        ref_logp=logp.detach() if chosen.beta else None,
    )
    loss.backward()
    norm = torch.cat([p.grad.flatten() for p in again.parameters()]).norm()
    assert results[0].metrics["loss"] == pytest.approx(float(loss.detach()), rel=1e-5, abs=1e-6)
    assert results[0].metrics["grad_norm"] == pytest.approx(float(norm), rel=1e-4) and norm > 1e-3


@pytest.mark.parametrize("changes", [{}, {"beta": 0.1, "ref_model_sync_steps": 2, "num_iterations": 2}])
def test_from_a_checkpoint_it_goes_on_bit_by_bit(make_model, tiny_task, changes):
    through, _ = stepped(make_model(), tiny_task, steps=4, **changes)
    half, _ = stepped(make_model(), tiny_task, steps=2, **changes)
    state = half.state()
    again = make_policy(make_model(seed=9), grpo_config(**SMALL | changes))
    again.restore(state)
    stepped(None, tiny_task, steps=2, first=3, trained=again, **changes)
    assert torch.equal(weights(through), weights(again))


def test_the_sampler_and_the_update_agree_on_log_probs(make_model, tiny_task):
    _, results = stepped(make_model(), tiny_task, temperature=0.7)
    assert results[0].metrics["sampling/sampling_logp_difference/max"] < 1e-4
    assert abs(results[0].metrics["policy_loss"]) < 1e-5 and results[0].metrics["grad_norm"] > 1e-3


def test_reward_makes_rewarded_tokens_more_frequent(make_model, tiny_task):
    _, results = stepped(make_model(), tiny_task, steps=25, num_prompts=16)
    rewards = [step.metrics["reward"] for step in results]
    assert sum(rewards[-5:]) / 5 > sum(rewards[:5]) / 5 + 0.2


def test_equal_rewards_change_nothing(make_model, tiny_task):
    before = weights(make_policy(make_model(), GRPOConfig()))
    trained, results = stepped(
        make_model(), tiny_task, rewards=lambda random: WeightedRewards({"one": lambda p, c: [1.0] * len(c)})
    )
    assert torch.equal(weights(trained), before) and results[0].metrics["frac_reward_zero_std"] == 1


def test_truncated_completions_can_be_masked(make_model, tiny_task):
    """Where nothing ends, nothing counts, and nothing moves."""
    model = make_model()
    eos = tiny_task.vocabulary.eos
    model.logits = lambda hidden: model.head(hidden).index_fill(-1, torch.tensor([eos]), -1e9)
    before = torch.cat([p.detach().flatten() for p in model.parameters()]).clone()
    trained, results = stepped(model, tiny_task, mask_truncated_completions=True)
    assert results[0].metrics["completions/clipped_ratio"] == 1
    assert torch.equal(weights(trained), before)


def test_later_updates_on_a_batch_are_clipped(make_model, tiny_task):
    _, once = stepped(make_model(), tiny_task, num_prompts=16)
    _, often = stepped(make_model(), tiny_task, num_prompts=16, num_iterations=4, learning_rate=5e-2)
    assert once[0].metrics["clip_ratio/region_mean"] == 0 < often[0].metrics["clip_ratio/region_mean"]


def test_dynamic_sampling_fills_a_batch_with_groups_that_differ(make_model, tiny_task):
    plain, dynamic = (
        stepped(make_model(), tiny_task, steps=3, num_prompts=16, dynamic_sampling=rounds)[1]
        for rounds in (1, 4)
    )
    share = [sum(step.metrics["frac_reward_zero_std"] for step in results) for results in (plain, dynamic)]
    assert share[1] < share[0]
    assert all(len(step.batch.rewards) == 64 for step in dynamic)


def test_the_reference_is_synchronised_every_ref_model_sync_steps(make_model, tiny_task):
    trained, results = stepped(make_model(), tiny_task, steps=2, beta=0.1, ref_model_sync_steps=2)
    for name, parameter in trained.reference.state_dict().items():
        assert torch.equal(parameter, trained.model.state_dict()[name])
    assert abs(results[0].metrics["kl"]) < 1e-6 < results[1].metrics["kl"]


def test_a_step_draws_only_from_its_seed_and_number(make_model, tiny_task):
    def texts(first):
        return stepped(make_model(), tiny_task, first=first)[1][0].batch.rollout.texts

    assert texts(5) == texts(5) != texts(6)


def test_the_metrics_have_trls_names(make_model, tiny_task):
    metrics = stepped(make_model(), tiny_task, beta=0.1)[1][0].metrics
    wanted = {
        "num_tokens", "step_time", "completions/mean_length", "completions/min_length", "completions/max_length",
        "completions/mean_terminated_length", "completions/clipped_ratio", "rewards/ones/mean", "rewards/ones/std",
        "reward", "reward_std", "frac_reward_zero_std", "entropy", "kl", "clip_ratio/region_mean",
        "clip_ratio/low_mean", "clip_ratio/high_mean", "loss", "policy_loss", "grad_norm", "learning_rate",
    }  # fmt: skip
    assert wanted <= set(metrics) and all(math.isfinite(value) for value in metrics.values())


def test_numbers_that_are_not_finite_stop_it_by_name(make_model, tiny_task):
    model = make_model()
    with torch.no_grad():
        model.norm.weight[0] = math.inf
    with pytest.raises(NotFinite, match="the probabilities of the next token are not finite at step 1"):
        stepped(model, tiny_task)


def test_a_reward_that_raises_stops_it_by_name(make_model, tiny_task):
    def broken(random):
        return WeightedRewards(
            {
                "broken": lambda problems, completions: [1 / 0 for _ in completions],
                "coin": random_reward(random),
            }
        )

    with pytest.raises(RewardError, match="reward 'broken' raised ZeroDivisionError.*prompt"):
        stepped(make_model(), tiny_task, rewards=broken)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"num_generations": 1}, "a group of one has nothing to be compared with"),
        ({"beta": -1.0}, "beta is -1"),
        ({"num_iterations": 0}, "num_iterations is 0; it must be at least 1"),
    ],
)
def test_values_without_meaning_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        GRPOConfig(**changes)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_sets_its_values_and_explicit_ones_take_precedence(preset):
    """Whether it says what its source says, only its source can tell; the comment beside it has the place."""
    chosen, named = grpo_config(preset), PRESETS[preset]
    for name, value in asdict(GRPOConfig()).items():
        assert asdict(chosen)[name] == named.get(name, value)
    name, value = next(iter(named.items()))
    other = "grpo" if name == "loss_type" else value * 2
    assert getattr(grpo_config(preset, **{name: other}), name) == other != value


def test_the_preset_of_dr_grpo_divides_neither_by_length_nor_by_spread(make_model, tiny_task):
    """What it is for: the gradient of a step is Σ (r − mean)·∇log π, divided by a constant."""
    model = make_model().double()
    again = copy.deepcopy(model)
    chosen = grpo_config("dr-grpo", **SMALL)
    results = train_step(make_policy(model, chosen), tiny_task, likes_ones, chosen, seed=3, step=1)
    batch = results.batch
    logp, _ = log_probs(again, batch.sequences)
    groups = batch.rewards.view(-1, 4)
    (-(groups - groups.mean(1, keepdim=True)).flatten() * logp.sum(1)).sum().backward()
    norm = torch.cat([p.grad.flatten() for p in again.parameters()]).norm() / (
        24 * chosen.max_completion_length
    )
    assert results.metrics["grad_norm"] == pytest.approx(float(norm), rel=1e-4)


def test_no_preset_by_that_name():
    with pytest.raises(ValueError, match="no preset r1_zero. Did you mean r1-zero?"):
        grpo_config("r1_zero")


def test_huge_rewards_have_the_same_effect_as_small_ones(make_model, tiny_task):
    """With the spread divided out, 1e20 times the reward is the same reward, and all metrics stay finite."""

    def scaled(by):
        return lambda random: WeightedRewards(
            {"ones": lambda problems, texts: [by * float(text.count("1") > 1) for text in texts]}
        )

    (one, _), (huge, results) = (
        stepped(make_model().double(), tiny_task, rewards=scaled(by)) for by in (1e4, 1e20)
    )
    torch.testing.assert_close(weights(one), weights(huge), rtol=1e-4, atol=1e-5)
    assert all(math.isfinite(value) for value in results[0].metrics.values())
