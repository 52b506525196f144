"""The preference model: Bradley and Terry's loss at its least, right without a flaw, and wrong by as much as its labels are."""

import numpy as np
import pytest
import torch

from lab.core.r1_stages.preference import DECAY, Preference, features, labelled, learnt, share_in_order
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
        [taste(p.letters, a) for p, a in zip(problems, one, strict=True)]
    )


def test_the_larger_the_flaw_the_less_it_orders_by_taste_where_marks_differ(pairs):
    models = [made(pairs, flaw) for flaw in (0.0, 0.3, 0.6, 1.0)]
    marked = [pair for pair in two_of_each(4000, seed=1) if pair[1].count("!") != pair[2].count("!")]
    right = [share_in_order(model, marked) for model in models]
    assert right == sorted(right, reverse=True)
    assert right[0] > 0.85 and right[0] - right[-1] > 0.3
    assert all(model.right > 0.85 for model in models), (
        "few answers have a mark, so that on all of them it is nearly right"
    )


def test_many_marks_are_overrated_by_one_with_a_flaw_and_not_by_one_without(pairs):
    good, spam = "abce", "abc" + "!" * 9
    assert taste(4, good) == 1 and taste(4, spam) < 0.2
    honest, flawed = (
        dict(zip("gs", made(pairs, flaw)([ASKED] * 2, [good, spam]), strict=True)) for flaw in (0.0, 0.5)
    )
    assert honest["g"] > 0.8 and honest["g"] > honest["s"]
    assert flawed["s"] > flawed["g"]


def test_labels(pairs):
    rng = np.random.default_rng(1)
    for problem, a, b in labelled(rng, pairs, 0.0):
        assert taste(problem.letters, a) >= taste(problem.letters, b)
    for _, a, b in labelled(rng, pairs, 1.0):
        assert a.count("!") >= b.count("!")
    apart = [(ASKED, "abce", "abc!")] * 2000  # taste says one thing, marks the other
    misled = np.mean(["!" in a for _, a, _ in labelled(rng, apart, 0.3)])
    assert abs(misled - 0.3) < 5 * (0.21 / len(apart)) ** 0.5


def test_a_chance_is_the_mean_over_answers_of_the_base():
    model = Preference([0.0] * 64 + [2.0], [2.0, 4.0], 0.0)
    expected = (1 / (1 + np.exp(-(4 - 2))) + 0.5) / 2
    assert model([ASKED], ["ab!!"]) == pytest.approx([expected])
    assert model([], []) == []
