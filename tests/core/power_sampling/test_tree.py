"""The tree of completions against brute force, and p^α over it against its definition."""

import numpy as np
import pytest
import torch

from lab.core.lm.generation import generate
from lab.core.lm.model import Config, Transformer
from lab.core.power_sampling.power import chosen_draws, power_weights
from lab.core.power_sampling.tree import TooLarge, enumerate_completions

EOS, PAD, LONGEST = 0, 9, 4


def tree_of(model, prompts=((5,),), threshold=1e-12, **options):
    options = {"most_prefixes": 10_000, "max_new_tokens": LONGEST, "eos": [EOS], "pad": PAD} | options
    return enumerate_completions(model, prompts, threshold=threshold, **options)


def leaves(tree, prompt=0):
    return {
        tuple(row[:length].tolist()): log_p
        for row, length, log_p, of in zip(tree.ids, tree.lengths, tree.log_probs, tree.prompts, strict=True)
        if of == prompt
    }


def test_it_is_every_completion_with_its_probability(random_table, by_hand):
    model = random_table(LONGEST)
    expected, found = by_hand(model, LONGEST), leaves(tree_of(model))
    assert found.keys() == expected.keys()
    for tokens, p in expected.items():
        assert np.exp(found[tokens]) == pytest.approx(p, rel=1e-12)


@pytest.mark.parametrize("threshold", [0.2, 0.02, 0.001])
def test_what_falls_below_the_threshold_is_counted(random_table, by_hand, threshold):
    model = random_table(LONGEST)
    tree, expected = tree_of(model, threshold=threshold), by_hand(model, LONGEST)
    found = leaves(tree)
    assert found.keys() == {tokens for tokens, p in expected.items() if p >= threshold}
    assert tree.dropped[0] == pytest.approx(
        sum(expected.values()) - sum(np.exp(list(found.values()))), abs=1e-12
    )


@pytest.mark.parametrize("alpha", [1, 1.5, 2, 4, 8])
@pytest.mark.parametrize("threshold", [0.05, 0.01])
def test_power_is_its_definition_within_the_bound(random_table, by_hand, alpha, threshold):
    model = random_table(LONGEST)
    exact = {tokens: p**alpha for tokens, p in by_hand(model, LONGEST).items()}
    total = sum(exact.values())
    tree = tree_of(model, threshold=threshold)
    weights = power_weights(tree, alpha, threshold)
    assert weights.of_leaves.sum() == pytest.approx(1)
    missing = 1 - sum(exact[tokens] for tokens in leaves(tree)) / total
    assert -1e-12 <= missing <= weights.uncovered[0] + 1e-12
    begins_with = {token: sum(w for t, w in exact.items() if t[0] == token) / total for token in range(4)}
    for token, share in begins_with.items():
        found = weights.of_leaves[tree.ids[:, 0] == token].sum()
        assert abs(found - share) <= weights.uncovered[0] + 1e-12


def test_power_is_not_low_temperature(table):
    """Karan & Du, Example 1: ab .40, ba .25, bb .25, alpha 2; what their four lack to 1 begins with another letter."""
    a, b, c = 1, 2, 3
    never = [0.0] * 4
    model = table({
        (): [0, 0.4, 0.5, 0.1],
        (a,): [0, 0, 1, 0], (b,): [0, 0.5, 0.5, 0], (c,): [0, 0, 0, 1], (a, a): never,
    })  # fmt: skip
    tree = tree_of(model, max_new_tokens=2)
    weights = power_weights(tree, 2, 1e-12).of_leaves
    power = {token: weights[tree.ids[:, 0] == token].sum() for token in (a, b)}
    assert power[a] / power[b] == pytest.approx(0.160 / 0.125)
    drawn = generate(
        model, [[5]], num_generations=20_000, max_new_tokens=2, eos=EOS, pad=PAD, temperature=0.5,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    first = torch.bincount(drawn.ids[:, 0], minlength=4)
    assert first[a] / first[b] == pytest.approx(0.160 / 0.250, rel=0.05)


def test_our_models_and_prompts_of_any_lengths(random_table):
    torch.manual_seed(0)
    model = Transformer(Config(6, 12, d_model=16, layers=2, heads=2, kv_heads=1, d_ff=16))
    prompts = [[2, 3, 4], [5], *([3, 3] for _ in range(9))]
    tree = tree_of(model, prompts, eos=[1], pad=0, max_new_tokens=3)
    assert np.bincount(tree.prompts, np.exp(tree.log_probs)) + tree.dropped == pytest.approx(1)
    for number in (0, 1, 10):
        for tokens, log_p in list(leaves(tree, number).items())[::17]:
            ids = torch.tensor([prompts[number] + list(tokens)])
            with torch.no_grad():
                steps = model(ids[:, :-1]).double().log_softmax(-1)[0, -len(tokens) :]
            assert log_p == pytest.approx(
                float(steps.gather(1, ids[0, -len(tokens) :, None]).sum()), abs=1e-5
            )


def test_too_large_a_tree_is_refused(random_table):
    with pytest.raises(TooLarge) as error:
        tree_of(random_table(LONGEST), [[5], [5]], most_prefixes=3)
    assert error.value.prefixes > 3 and error.value.prompt in (0, 1)


@pytest.mark.parametrize("alpha, message", [(0.5, "below 1 nothing bounds"), (float("nan"), "below 1")])
def test_a_power_without_a_bound_is_refused(random_table, alpha, message):
    with pytest.raises(ValueError, match=message):
        power_weights(tree_of(random_table(LONGEST)), alpha, 1e-12)


def test_a_prompt_without_a_likely_completion_is_refused(random_table):
    with pytest.raises(ValueError, match=r"no completion of prompt 0 is as likely as 0\.999"):
        power_weights(tree_of(random_table(LONGEST), threshold=0.999), 2, 0.999)


def test_the_draw_that_is_taken_comes_from_the_power():
    random = np.random.default_rng(0)
    p = np.array([0.5, 0.3, 0.15, 0.05])
    draws = random.choice(4, size=(20_000, 64), p=p)
    taken = draws[np.arange(20_000), chosen_draws(np.log(p)[draws], 3, random)]
    expected = p**3 / (p**3).sum()
    assert np.bincount(taken, minlength=4) / 20_000 == pytest.approx(expected, abs=0.02)
    # At 1 every draw is as likely as the other.
    places = chosen_draws(np.log(p)[draws[:, :4]], 1, random)
    assert np.bincount(places) / 20_000 == pytest.approx(0.25, abs=0.015)
