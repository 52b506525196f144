"""The crossing with a dial: the target's moments exactly, networks that compute the same, curves whose crossing is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from one_trial import context_in
from pydantic import ValidationError
from torch import nn

from lab.core.bitter.crossing.meeting import meeting, sizes_up_to
from lab.core.bitter.crossing.models import (
    Convolution,
    Dense,
    ModelError,
    checked,
    cut_to_dense,
    cut_to_local,
)
from lab.core.bitter.crossing.teacher import INPUTS, PAIRS, Teacher, inputs, teacher, windows
from lab.core.bitter.crossing.training import error, trained
from lab.core.bitter.crossing.trial import Params, trial
from lab.core.experiment.load import load
from lab.core.experiment.predictions import predicted
from lab.core.trial import Refused

SMALL = Params(steps=20, width=2, test_samples=64, samples=256)


def test_the_local_part_of_one_input_has_the_variance_of_a_relu() -> None:
    w = 1.7
    single = Teacher(np.array([[w]]), np.array([1.0]), np.zeros(PAIRS))
    mean, variance = single._moments()
    assert mean == pytest.approx(w / (2 * np.pi) ** 0.5)
    assert variance == pytest.approx(w**2 * (1 / 2 - 1 / (2 * np.pi)) / INPUTS)


@pytest.mark.parametrize("seed", range(3))
def test_both_parts_have_variance_1_and_are_uncorrelated(seed: int) -> None:
    drawn, x = teacher(seed, 4, 5), np.random.default_rng(7).standard_normal((100_000, INPUTS))
    local, pairs = drawn.local(x), drawn.nonlocal_(x)
    assert abs(local.mean()) < 0.02 and abs(pairs.mean()) < 0.02
    assert local.var() == pytest.approx(1, abs=0.03) and pairs.var() == pytest.approx(1, abs=0.03)
    assert abs((local * pairs).mean()) < 0.03
    y = drawn.target(x, 0.3)
    assert y == pytest.approx(0.7**0.5 * local + 0.3**0.5 * pairs)


def test_no_window_of_16_holds_a_pair_and_one_of_17_does() -> None:
    def holds(width: int) -> bool:
        return any({i, i + PAIRS} <= set(row) for row in windows(width).tolist() for i in range(PAIRS))

    assert not holds(16) and holds(17)


def test_sums_over_windows_explain_nothing_of_the_pairs_and_their_products_explain_all() -> None:
    """What a locally connected network can at best do with quadratics of its windows, by least squares."""
    x = np.random.default_rng(3).standard_normal((6000, INPUTS))
    y = teacher(0, 4, 5).nonlocal_(x)
    local = np.stack([x[:, i] * x[:, (i + d) % INPUTS] for i in range(INPUTS) for d in range(5)], 1)
    pairs = x[:, :PAIRS] * x[:, PAIRS:]

    def unexplained(features: np.ndarray) -> float:
        weights = np.linalg.lstsq(features[:3000], y[:3000], rcond=None)[0]
        return float(np.mean((features[3000:] @ weights - y[3000:]) ** 2))

    assert unexplained(local) > 0.9 and unexplained(pairs) < 1e-20


def test_the_error_of_a_model_that_knows_the_local_part_is_the_share() -> None:
    drawn, share = teacher(5, 4, 5), 0.2

    class Knows(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.as_tensor((1 - share) ** 0.5 * drawn.local(x.double().numpy()))[:, None]

    params = Params(nonlocal_share=share, test_samples=40_000)
    assert error(Knows(), params, 5, "cpu") == pytest.approx(share, abs=0.01)


def test_fewer_samples_are_the_first_of_more_and_new_ones_are_others() -> None:
    more = inputs(1, 50, new=False)
    assert (inputs(1, 20, new=False) == more[:20]).all()
    assert (
        not np.isin(inputs(1, 50, new=True), more).any() and not np.isin(inputs(2, 50, new=False), more).any()
    )


def test_a_convolution_whose_ties_are_cut_computes_the_same() -> None:
    torch.manual_seed(0)
    model = Convolution(3, 5)
    x = torch.randn(7, INPUTS, dtype=torch.float32, device="cpu")
    for cut in (cut_to_local, cut_to_dense):
        assert torch.allclose(cut(model)(x), model(x), atol=1e-6)


def test_what_is_cut_goes_on_with_all_of_its_weights() -> None:
    torch.manual_seed(0)
    x = torch.randn(50, INPUTS, dtype=torch.float32, device="cpu")
    for model in (cut_to_local(Convolution(3, 5)), cut_to_dense(Convolution(3, 5))):
        model(x).square().sum().backward()
        assert all(p.grad is not None and (p.grad != 0).any() for p in model.parameters())
    dense = cut_to_dense(Convolution(3, 5))
    outside = dense.hidden.weight == 0
    assert outside.sum() == INPUTS * 3 * (INPUTS - 5)
    dense(x).square().sum().backward()
    assert dense.hidden.weight.grad is not None
    assert (dense.hidden.weight.grad[outside] != 0).float().mean() > 0.5


def test_a_convolution_does_not_see_where_the_circle_begins() -> None:
    torch.manual_seed(0)
    x = torch.randn(7, INPUTS, dtype=torch.float32, device="cpu")
    convolution, dense = Convolution(3, 5), Dense(8)
    assert torch.allclose(convolution(x.roll(3, 1)), convolution(x), atol=1e-6)
    assert not torch.allclose(dense(x.roll(3, 1)), dense(x), atol=1e-3)


def test_training_lowers_the_error_and_repeats_itself() -> None:
    for model in ("convolution", "mlp", "local", "relaxed"):
        params = Params(model=model, steps=120, samples=2048, test_samples=512, nonlocal_share=0.0)
        first, again = (error(trained(params, 3, "cpu"), params, 3, "cpu") for _ in range(2))
        assert first == again
        assert first < 0.7, model


def test_curves_that_are_power_laws_meet_where_they_do() -> None:
    sizes = [64, 256, 1024, 4096]
    falling, flat = [100 / n for n in sizes], [0.2] * 4
    assert meeting(sizes, falling, flat).samples == pytest.approx(500)
    assert meeting(sizes, [3 * n**-0.5 for n in sizes], [40 / n for n in sizes]).inside is False
    assert meeting(sizes, [1.0] * 4, [0.5] * 4) == (4 * 4096, False)
    assert meeting(sizes, [0.5] * 4, [1.0] * 4) == (16, False)


def test_where_curves_cross_more_than_once_the_last_time_counts() -> None:
    found = meeting([1, 4, 16, 64], [2.0, 0.5, 2.0, 0.5], [1.0] * 4)
    assert found.samples == pytest.approx(32) and found.inside


def test_sizes() -> None:
    assert sizes_up_to(65536, 64) == [64, 256, 1024, 4096, 16384, 65536]
    assert sizes_up_to(100, 64) == [100]


def test_a_crossing_is_that_of_the_curves_of_the_other_trials(tmp_path: Path) -> None:
    share = 0.3
    sizes = sizes_up_to(256, 16)

    def curve(model: str, of: float) -> list[float]:
        folder = tmp_path / f"{model}{of}"  # a cache of its own
        folder.mkdir()
        context: Any = context_in(folder, seed=4)
        changes = ({"model": model, "nonlocal_share": of, "samples": size} for size in sizes)
        return [trial(SMALL.model_copy(update=each), context)["nmse"] for each in changes]

    context: Any = context_in(tmp_path, seed=4)
    changed = {"model": "crossing", "nonlocal_share": share, "smallest": 16}
    found = trial(SMALL.model_copy(update=changed), context)
    mlp, convolution = curve("mlp", share), curve("convolution", share)
    assert found["crossing"] == meeting(sizes, mlp, convolution).samples
    assert found["lead"] == pytest.approx(np.log2(np.array(mlp) / np.array(convolution)).min())
    floor = [share + (1 - share) * each for each in curve("convolution", 0.0)]
    assert found["own"] == meeting(sizes, curve("mlp", 0.0), floor).samples
    at_zero = trial(SMALL.model_copy(update=changed | {"nonlocal_share": 0.0}), context)
    assert set(at_zero) == {"lead"}  # nothing is predicted to cross there


def test_a_crossing_needs_two_sizes(tmp_path: Path) -> None:
    context: Any = context_in(tmp_path)
    with pytest.raises(Refused, match="two sizes"):
        trial(SMALL.model_copy(update={"model": "crossing", "smallest": 200}), context)


def test_first_seed_is_another_teacher(tmp_path: Path) -> None:
    first, third = context_in(tmp_path, seed=0), context_in(tmp_path, seed=2)
    moved = SMALL.model_copy(update={"first_seed": 2})
    assert trial(moved, first) == trial(SMALL, third) != trial(SMALL, first)  # type: ignore[arg-type]


OWN = """
import torch
def model(inputs):
    return torch.nn.Linear(inputs, 1)
"""


def test_a_model_of_the_users(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(OWN)
    context: Any = context_in(tmp_path)
    params = Params(implementation=f"{file}:model", steps=300, nonlocal_share=0.0, samples=4096)
    assert 0.01 < trial(params, context)["nmse"] < 1.0


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (None, "mine returns NoneType, not a torch.nn.Module"),
        (nn.ReLU(), "no parameters"),
        (nn.Linear(31, 1), r"fails on inputs of shape \(2, 32\): RuntimeError"),
        (nn.Linear(32, 3), r"gives shape \(2, 3\) .* \(2,\) or \(2, 1\) is needed"),
        (nn.LSTM(32, 1), "gives tuple"),
    ],
)
def test_what_is_no_model(made: object, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        checked(made, "mine", "cpu")


def test_a_model_that_gives_nan() -> None:
    model = nn.Linear(32, 1)
    nn.init.constant_(model.bias, float("nan"))
    with pytest.raises(ModelError, match="NaN"):
        checked(model, "mine", "cpu")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"nonlocal_share": 1.5}, "less than or equal to 1"),
        ({"nonlocal_share": -0.1}, "greater than or equal to 0"),
        ({"samples": 0}, "greater than or equal to 1"),
        ({"width": 0}, "greater than or equal to 1"),
        ({"window": 17}, "less than or equal to 16"),
        ({"model": "convolutoin"}, "no model 'convolutoin'. Did you mean convolution?"),
    ],
)
def test_wrong_parameters(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Params(**wrong)


def test_the_prediction_is_where_the_predicted_curves_meet() -> None:
    experiment = load("bitter").experiment
    by_id = {each.id: each for each in experiment.predictions}

    def at(prediction: str, variant: str, share: float, samples: float) -> float:
        return predicted(
            by_id[prediction], experiment, variant, {"nonlocal_share": share, "samples": samples}
        )

    for share in (0.03, 0.1, 0.3):
        star = at("crossing", "crossing", share, 65536)
        assert 2 ** at("log2-crossing", "crossing", share, 65536) == pytest.approx(star)
        floor = at("floor", "convolution", share, 1e12)
        assert at("mlp-at-zero", "mlp", share, star) == pytest.approx(floor)
    assert at("crossing", "crossing", 0.0, 65536) == 4 * 65536  # none
