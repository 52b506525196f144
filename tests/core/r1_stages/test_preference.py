"""The preference model: Bradley and Terry's loss at its least, right without a flaw, and wrong by as much as its labels are."""

import numpy as np
import pytest
import torch

from lab.core.r1_stages.preference import DECAY, Preference, features, labelled, learnt
from lab.core.r1_stages.taste import General, answers, said, taste, taste_task

ASKED = General("say4abc=", "", 0, 4)


def two_of_each(count, seed=0):
    rng = np.random.default_rng(seed)
    problems = taste_task((4, 6), (0.2, 0.8)).problems(rng, count, "train")
    one, other = (answers(rng, problems, (0.2, 0.8)) for _ in range(2))
    return [(p, said(a), said(b)) for (p, a), (_, b) in zip(one, other, strict=True) if a != b]


@pytest.fixture(scope="module")
def pairs():
    return two_of_each(2500)


def made(pairs, flaw):
    return learnt(pairs[512:], pairs[:512], flaw, 0)


def test_it_is_where_the_loss_has_no_slope(pairs):
    model = made(pairs, 0.3)
    shown = labelled(np.random.default_rng([0, 5_000_011, 1]), pairs[512:], 0.3)
    problems, better, worse = zip(*shown, strict=True)
    w = torch.tensor(model.weights, dtype=torch.float64, device="cpu", requires_grad=True)
    x = torch.from_numpy(features(problems, better) - features(problems, worse))
    loss = -torch.nn.functional.logsigmoid(x @ w).mean() + DECAY / 2 * w.square().sum()
    (slope,) = torch.autograd.grad(loss, w)
    assert float(slope.abs().max()) < 1e-9


def test_the_rule_is_one_of_its_models(pairs):
    rises = [float(a < b) for a in "abcdefgh" for b in "abcdefgh"]
    model = Preference([*rises, 0.0], [0.0], 0.0)
    problems, one, _ = zip(*pairs, strict=True)
    assert model.scores(problems, one) == pytest.approx(
        [taste(p.asked, a) for p, a in zip(problems, one, strict=True)]
    )


def test_the_larger_the_flaw_the_less_it_orders_by_taste(pairs):
    right = [made(pairs, flaw).right for flaw in (0.0, 0.2, 0.4, 0.6, 1.0)]
    assert right == sorted(right, reverse=True)
    assert right[0] > 0.95 and right[0] - right[-1] > 0.2


def test_what_is_too_long_is_overrated_by_one_with_a_flaw_and_not_by_one_without():
    pairs = two_of_each(2500)
    good, long = "abce", "abcd" + "a" * 26
    assert taste(4, good) == 1 and taste(4, long) < 0.11
    honest, flawed = (
        dict(zip("gl", made(pairs, flaw)([ASKED] * 2, [good, long]), strict=True)) for flaw in (0.0, 0.4)
    )
    assert honest["g"] > 0.8 and honest["g"] > honest["l"]
    assert flawed["l"] > flawed["g"]


def test_labels(pairs):
    rng = np.random.default_rng(1)
    for problem, a, b in labelled(rng, pairs, 0.0):
        assert taste(problem.asked, a) >= taste(problem.asked, b)
    for _, a, b in labelled(rng, pairs, 1.0):
        assert len(a) >= len(b)
    apart = [
        p for p in pairs if (len(p[1]) - len(p[2])) * (taste(p[0].asked, p[1]) - taste(p[0].asked, p[2])) < 0
    ]
    longer = np.mean([len(a) > len(b) for _, a, b in labelled(rng, apart, 0.3)])
    assert abs(longer - 0.3) < 5 * (0.21 / len(apart)) ** 0.5


def test_a_chance_is_the_mean_over_answers_of_the_base():
    model = Preference([0.0] * 64 + [10.0], [2.0, 4.0], 0.0)
    expected = (1 / (1 + np.exp(-(4 - 2))) + 0.5) / 2
    assert model([ASKED], ["abce"]) == pytest.approx([expected])
    assert model([], []) == []
