"""Each loss and its gradient beside TRL's own, on random tensors. Skipped where there is no TRL.

TRL is not among the extras: `pip install -c constraints.txt -e '.[dev]' trl` in an environment of its own, then
`pytest tests/core/grpo/test_against_trl.py`. Read from and run with TRL 1.16.0: of `GRPOTrainer` only `_compute_loss` runs, on an object that has the attributes which that method
reads and whose "model" hands out the tensors of the test.

Where ours differs on purpose, the test says so:

* cispo without epsilon_high: TRL bounds w at epsilon itself, so that 0.2 weighs every token; we take 1 + epsilon.
* bnpo in micro-batches: the mean of their means in TRL; in ours, what the whole batch would give.
* the KL is always importance-corrected (`use_bias_correction_kl`, which is TRL's default).
* gspo's clip ratios are shares of the completions that have tokens; TRL counts the masked ones too.
* dr_grpo, grpo and gspo in micro-batches of unequal size: TRL weighs micro-batches alike, we weigh completions alike.
* advantages of rewards that are equal: exactly 0 here; in TRL a rounding error of the mean, divided by 1e-4.
"""

from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch

from lab.core.grpo import group_advantages, policy_loss
from lab.core.grpo.losses import LOSS_TYPES, count_items, loss_parts

pytest.importorskip("trl")
from trl import GRPOTrainer
from trl.trainer.utils import nanstd

EPSILON, EPSILON_HIGH, LONGEST = 0.2, 0.28, 9


def theirs(loss_type, logp, inputs, *, beta=0.0, epsilon_high=EPSILON_HIGH, accumulation=1):
    """TRL's loss of one micro-batch, and its metrics."""
    trainer = object.__new__(GRPOTrainer)
    trainer.__dict__.update(
        loss_type="grpo" if loss_type == "gspo" else loss_type,
        importance_sampling_level="sequence" if loss_type == "gspo" else "token",
        epsilon_low=EPSILON,
        epsilon_high=epsilon_high,
        beta=beta,
        max_completion_length=LONGEST,
        args=SimpleNamespace(use_bias_correction_kl=True, delta=None, steps_per_generation=accumulation),
        current_gradient_accumulation_steps=accumulation,
        aux_loss_enabled=False,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        use_vllm=False,
        _entropy_bonus_enabled=False,
        model=SimpleNamespace(training=True),
        accelerator=SimpleNamespace(
            num_processes=1, gather=lambda x: x, reduce=lambda x, reduction: x, sync_gradients=True
        ),
        _metrics=defaultdict(lambda: defaultdict(list)),
        _get_per_token_logps_and_entropies=lambda *_, **__: (logp, torch.zeros_like(logp), None),
    )
    mask = inputs["completion_mask"]
    prompt = torch.ones(len(mask), 1, dtype=torch.long)
    ids = {"prompt_ids": prompt, "prompt_mask": prompt, "completion_ids": torch.zeros_like(mask)}
    loss = trainer._compute_loss(None, {"num_items_in_batch": mask.sum()} | ids | inputs)
    return loss, {name: values[0] for name, values in trainer._metrics["train"].items()}


def batch(seed, n=32, tokens=7, spread=0.4, full=False):
    """w lies on both sides of the clip, for both signs of A; lengths from 1 to all."""
    draw = torch.Generator().manual_seed(seed)
    logp, a, b = (torch.randn(n, tokens, dtype=torch.float64, generator=draw) for _ in range(3))
    lengths = torch.randint(1, tokens + 1, (n, 1), generator=draw)
    mask = (torch.arange(tokens) < (tokens if full else lengths)).long().expand(n, tokens)
    inputs = {
        "old_per_token_logps": logp - 2 + spread * a,
        "ref_per_token_logps": logp - 2 + spread * b,
        "advantages": torch.rand(n, dtype=torch.float64, generator=draw) * (-1) ** torch.arange(n),
        "completion_mask": mask,
    }
    return (logp - 2).requires_grad_(), inputs


def ours(loss_type, logp, inputs, *, function=policy_loss, epsilon_high=EPSILON_HIGH, **more):
    return function(
        logp,
        inputs["old_per_token_logps"],
        inputs["advantages"],
        inputs["completion_mask"],
        loss_type=loss_type,
        epsilon=EPSILON,
        epsilon_high=epsilon_high,
        ref_logp=inputs["ref_per_token_logps"],
        max_completion_length=LONGEST,
        **more,
    )


def same(one, other, logp):
    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)
    slopes = (torch.autograd.grad(loss, logp)[0] for loss in (one, other))
    torch.testing.assert_close(*slopes, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("beta", [0.0, 0.3])
@pytest.mark.parametrize("spread", [0.0, 0.1, 0.4, 2.0])
@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_value_gradient_and_metrics(loss_type, spread, beta, seed):
    logp, inputs = batch(seed, spread=spread)
    high = 1.5 if loss_type == "cispo" else EPSILON_HIGH
    loss, metrics = theirs(loss_type, logp, inputs, beta=beta, epsilon_high=high)
    parts = ours(loss_type, logp, inputs, function=loss_parts, beta=beta, epsilon_high=high)
    same(parts.loss, loss, logp)
    names = set(parts.metrics) - (set() if beta else {"kl"})  # we tell it for β = 0 too
    assert names == set(metrics) - {"entropy", "clip_ratio/low_min", "clip_ratio/high_max"}
    for name in names:
        if loss_type == "gspo" and "clip" in name:  # TRL counts sequences, we tokens, as the paper
            assert (float(parts.metrics[name]) == 0) == (metrics[name] == 0)
        else:
            assert float(parts.metrics[name]) == pytest.approx(metrics[name], rel=1e-6)
    if spread == 2.0:
        clipped = [float(value) for name, value in parts.metrics.items() if "clip" in name]
        assert min(clipped) > 0  # or the comparison above would be of nothing


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_a_fully_masked_completion(loss_type):
    logp, inputs = batch(0)
    inputs["completion_mask"] = inputs["completion_mask"].clone()
    inputs["completion_mask"][3] = 0
    same(ours(loss_type, logp, inputs, beta=0.3), theirs(loss_type, logp, inputs, beta=0.3)[0], logp)


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_two_micro_batches(loss_type):
    logp, inputs = batch(1)
    mask = inputs["completion_mask"]
    halves = slice(0, 16), slice(16, 32)
    pieces = [{name: x[half] for name, x in inputs.items()} for half in halves]
    items = count_items(mask, loss_type)
    one = sum(
        ours(loss_type, logp[half], piece, beta=0.3, num_items=items)
        for half, piece in zip(halves, pieces, strict=True)
    )
    other = sum(
        theirs(loss_type, logp[half], piece | {"num_items_in_batch": mask.sum()}, beta=0.3, accumulation=2)[0]
        for half, piece in zip(halves, pieces, strict=True)
    )
    if loss_type == "bnpo":
        assert abs(one - other) > 1e-3
        other = theirs("bnpo", logp, inputs, beta=0.3)[0]
    same(one, other, logp)


def test_cispo_without_epsilon_high():
    logp, inputs = batch(2, spread=0.0, full=True)
    one = ours("cispo", logp, inputs, epsilon_high=None)
    other = theirs("cispo", logp, inputs, epsilon_high=EPSILON)[0]  # what TRL makes of None
    same(0.2 * one, other, logp)
    logp, inputs = batch(2, spread=2.0)
    same(
        ours("cispo", logp, inputs, epsilon_high=None),
        theirs("cispo", logp, inputs, epsilon_high=1.2)[0],
        logp,
    )


def test_advantages():
    """TRL's lines for `multi_objective_aggregation="sum_then_normalize"`, which stand inside a longer method."""
    r = torch.randn(24, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    r[5] = r[6] = torch.nan
    groups = r.view(-1, 4)
    A = groups - groups.nanmean(1, keepdim=True)
    by_scale = {
        "none": A,
        "group": A / (nanstd(groups, dim=1, keepdim=True) + 1e-4),
        "batch": A / (nanstd(r) + 1e-4),
    }
    for scale, wanted in by_scale.items():
        torch.testing.assert_close(group_advantages(r, 4, scale), wanted.nan_to_num(nan=0.0).flatten())
