"""The distribution of the chains against the enumeration of a small tree."""

import numpy as np
import pytest
import torch

from lab.core.lm.model import Config, Transformer
from lab.core.lm.scoring import joined, log_probs
from lab.core.power_sampling.mcmc import power_mcmc

EOS, PAD, LONGEST, ROWS = 0, 9, 3, 2500
NOISE = 0.06
"""Total variation of so many draws from a distribution itself, at most."""


def chains_of(model, rows=ROWS, seed=0, **options):
    options = {
        "alpha": 2.0, "proposal_temperature": 0.5, "blocks": 1, "mcmc_steps": 12, "max_new_tokens": LONGEST, "eos": [EOS], "pad": PAD,
    } | options  # fmt: skip
    return power_mcmc(model, [[5]] * rows, generator=torch.Generator().manual_seed(seed), **options)


def variation(chains, expected):
    """Total variation between the chains' last states and a distribution over completions."""
    counts = dict.fromkeys(expected, 0)
    for ids, length in zip(chains.ids.tolist(), chains.lengths.tolist(), strict=True):
        counts[tuple(ids[:length])] += 1
    total, rows = sum(expected.values()), len(chains.ids)
    return sum(abs(counts[x] / rows - expected[x] / total) for x in expected) / 2


@pytest.mark.parametrize("temperature", [0.5, 1.0])
@pytest.mark.parametrize("alpha", [2.0, 4.0])
def test_with_one_block_it_samples_the_power(random_table, by_hand, alpha, temperature):
    model = random_table(LONGEST, seed=3)
    p = by_hand(model, LONGEST)
    power = {x: chance**alpha for x, chance in p.items()}
    chains = chains_of(model, alpha=alpha, proposal_temperature=temperature)
    assert variation(chains, power) < NOISE
    assert variation(chains, p) > 0.1, "a sampler of p would pass as well"


def test_without_the_length_of_an_answer_in_the_ratio_it_would_not(random_table, by_hand):
    """The chance of a place is 1/|x|: weights that leave it out are far from what is sampled."""
    model = random_table(LONGEST, seed=3)
    power = {x: chance**2 for x, chance in by_hand(model, LONGEST).items()}
    chains = chains_of(model)
    assert variation(chains, {x: w * len(x) for x, w in power.items()}) > 3 * variation(chains, power)


@pytest.mark.parametrize("blocks", [1, 3])
def test_at_a_power_of_one_it_samples_the_model_and_accepts(random_table, by_hand, blocks):
    model = random_table(LONGEST, seed=1)
    p, options = by_hand(model, LONGEST), {"alpha": 1.0, "proposal_temperature": 1.0, "mcmc_steps": 4}
    chains = chains_of(model, blocks=blocks, **options)
    assert variation(chains, p) < NOISE
    assert chains.accepted.sum() / chains.proposed.sum() > 0.8, (
        "lengths alone stand between a proposal and it"
    )


def test_answers_that_are_final_early_are_too_short(random_table, by_hand):
    model = random_table(LONGEST, seed=1)
    p, options = by_hand(model, LONGEST), {"alpha": 1.0, "proposal_temperature": 1.0, "mcmc_steps": 4}
    chains = chains_of(model, blocks=3, early=True, **options)
    assert variation(chains, p) > 2 * NOISE
    mean = sum(len(tokens) * chance for tokens, chance in p.items())
    assert float(chains.lengths.double().mean()) < mean - 0.1


def test_tokens_are_those_of_all_proposals_and_likelihoods_those_of_the_answer(random_table):
    model = random_table(LONGEST, seed=2)
    chains = chains_of(model, rows=200, mcmc_steps=5)
    assert (chains.proposed == 5).all() and (chains.accepted <= 5).all()
    assert (chains.tokens >= chains.lengths).all() and (chains.tokens <= 6 * LONGEST).all()
    assert (chains.tokens >= 6).all(), "each of five proposals, and the answer it began with, has a token"
    for ids, length, log_p in zip(chains.ids.tolist(), chains.lengths.tolist(), chains.log_p, strict=True):
        expected = sum(np.log(model.rows[tuple(ids[:i])][ids[i]]) for i in range(length))
        assert float(log_p.sum()) == pytest.approx(expected)
        assert ids[length:] == [PAD] * (LONGEST - length)


def test_our_models_with_prompts_that_fill_the_context():
    torch.manual_seed(0)
    model = Transformer(Config(6, 12, d_model=16, layers=1, heads=2, kv_heads=1, d_ff=16))
    prompts = [[2, 3, 4, 5], [5], [3, 3]] * 8
    options = {"blocks": 3, "mcmc_steps": 4, "max_new_tokens": 8, "eos": [1], "pad": 0}
    found = [
        power_mcmc(model, prompts, alpha=2.0, proposal_temperature=0.5, generator=torch.Generator().manual_seed(7), **options)
        for _ in range(2)
    ]  # fmt: skip
    assert torch.equal(found[0].ids, found[1].ids) and torch.equal(found[0].tokens, found[1].tokens)
    with torch.no_grad():
        scored, _ = log_probs(model, joined(prompts, found[0].ids, found[0].lengths, 0))
    assert found[0].log_p[:, : scored.shape[1]] == pytest.approx(scored.double(), abs=1e-4)
    assert int(found[0].lengths.max()) > 3, "more than one block"
