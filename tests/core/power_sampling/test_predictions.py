"""The closed forms of the experiment files against the process that writes the demonstrations, and their base models."""

from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from lab.core.experiment.load import load
from lab.core.experiment.predictions import predicted
from lab.core.grpo import params as grpo
from lab.core.grpo.rollout import thinks
from lab.core.grpo.tasks.chain import Chain, structure_of, trace
from lab.core.grpo.tasks.demonstration import demonstrations
from lab.core.grpo.tasks.problem import Mixture, Problem, says
from lab.core.grpo.trained_policy import policy_key
from lab.core.power_sampling.params import Params
from lab.core.run.plan import params_of

EXPERIMENTS = Path(grpo.__file__).parents[2] / "experiments"
DRAWS = 100_000


@cache
def demonstrated(structure, mixture, steps):
    """Texts of demonstrations of one problem, with the probability of each; answers without a trace are guesses."""
    kind = structure_of(structure, "+")
    parts = Chain(1, ["+"] * steps, [1] * steps)
    m = len(kind.elements)
    problem = Problem("", kind.elements[(1 + steps) % m], steps)
    made = demonstrations(
        np.random.default_rng(0), [(problem, parts)] * DRAWS, mixture, steps=steps, values=m,
        trace=lambda parts, wrong, leap: trace(kind, parts, wrong, leap),
        guess=lambda _, random: kind.elements[random % m],
    )  # fmt: skip
    counts = Counter(text for _, text in made)
    return problem, {text: count / DRAWS for text, count in counts.items()}


def share_right(structure, mixture, steps, alpha):
    problem, p = demonstrated(structure, mixture, steps)
    weights = {text: chance**alpha for text, chance in p.items()}
    return sum(w for text, w in weights.items() if says(problem, text)) / sum(weights.values())


def predict(name, prediction, **point):
    experiment = load(EXPERIMENTS / f"{name}.yaml").experiment
    found = next(each for each in experiment.predictions if each.id == prediction)
    return predicted(found, experiment, found.of[0], point)


@pytest.mark.parametrize("alpha", [1, 2, 4, 8])
def test_power_among_ten_answers(alpha):
    mixture = Mixture(long=0.25, noise=0.03, slips=0.1, leaps=0.1, direct_noise=1.0)
    seen = np.mean([share_right("z10", mixture, steps, alpha) for steps in (3, 4, 5)])
    # What is raised to a power is a frequency with an error of its own, which counts alpha times.
    assert predict("power-sampling", "power", alpha=alpha) == pytest.approx(seen, abs=0.004 * alpha)


@pytest.mark.parametrize("alpha", [2, 4])
@pytest.mark.parametrize("long", [0.15, 0.25, 0.4, 0.6])
def test_power_between_two_answers(long, alpha):
    mixture = Mixture(long=long, noise=0, slips=0, leaps=0, direct_noise=1.0)
    seen = share_right("z2", mixture, 5, alpha)
    assert predict("power-sampling-parity", "power", long=long, alpha=alpha) == pytest.approx(seen, abs=0.015)


def test_temperature_is_next_tokens_to_the_power():
    """By tokens of the demonstrations: first whether it thinks, then each step."""
    mixture = Mixture(long=0.25, noise=0.03, slips=0.1, leaps=0.0, direct_noise=1.0)
    problem, p = demonstrated("z10", mixture, 4)
    vocabulary = ["<think>", "</think>", "<answer>", "</answer>", "<eos>"]

    def tokens(text):
        while text:
            token = next((each for each in vocabulary if text.startswith(each)), text[0])
            text = text.removeprefix(token)
            yield token

    after = {}
    for text, chance in p.items():
        before = ""
        for token in tokens(text):
            after.setdefault(before, Counter())[token] += chance
            before += token
    cold = {}
    for text in p:
        chance, before = 1.0, ""
        for token in tokens(text):
            raised = {each: x**4 for each, x in after[before].items()}
            chance *= raised[token] / sum(raised.values())
            before += token
        cold[text] = chance
    assert sum(cold.values()) == pytest.approx(1)
    seen = sum(chance for text, chance in cold.items() if says(problem, text))
    thinking = sum(chance for text, chance in cold.items() if thinks(text))
    assert predict("power-sampling", "temperature", alpha=4) == pytest.approx(seen, abs=0.005)
    assert thinking < 0.02
    for long in (0.25, 0.6):
        w = long**4 / (long**4 + (1 - long) ** 4)
        assert predict("power-sampling-parity", "temperature", long=long, alpha=4) == pytest.approx(
            (1 + w) / 2
        )


def test_the_sign_turns_where_a_guess_is_as_likely_as_a_trace():
    for alpha in (2, 4):
        for long in (0.15, 0.25, 0.4, 0.6):
            sharper = predict("power-sampling-parity", "power", long=long, alpha=alpha)
            colder = predict("power-sampling-parity", "temperature", long=long, alpha=alpha)
            base = predict("power-sampling-parity", "sample", long=long, alpha=alpha)
            assert (sharper > base) == (long > 1 / 3) and (colder > base) == (long > 1 / 2)


def keys(name, variant, seed=0, **point):
    loaded = load(EXPERIMENTS / f"{name}.yaml")
    params = loaded.subject.params.model_validate(params_of(loaded, variant, point))
    task = grpo.task_of(params, None)
    base = grpo.base_model_of(params, task).key(grpo.task_key(params, task), seed)
    return base, policy_key(params, task, seed, "cpu")


def test_base_models_and_policy_are_those_of_grpo():
    base, policy = keys("grpo", "accuracy+format")
    for variant in load(EXPERIMENTS / "power-sampling.yaml").experiment.variants:
        assert keys("power-sampling", variant, alpha=2)[0] == base
    assert keys("power-sampling", "grpo", alpha=2)[1] == policy != keys("grpo", "accuracy")[1]


@pytest.mark.parametrize("long", [0.15, 0.25, 0.4, 0.6])
def test_base_models_between_two_answers_are_those_of_grpo_threshold(long):
    theirs = keys("grpo-threshold", "tagged", long=long)[0]
    assert keys("power-sampling-parity", "power", long=long, alpha=4)[0] == theirs


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"alpha": 0}, "greater than 0"),
        ({"alpha": -1.0}, "greater than 0"),
        ({"n": 0}, "greater than or equal to 1"),
        ({"proposal": 0}, "greater than 0"),
        ({"sampler": "powr"}, "power-mcmc"),
    ],
)
def test_what_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Params(**changes)
