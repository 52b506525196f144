"""Every variant of attention-precision through the trial's door, small; and what its figures must be by arithmetic."""

import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml

from lab.core.attention.precision import chunked, measured
from lab.core.attention.precision.ties import bias_of_ties, last_place
from lab.core.attention.precision.trial import Params, trial
from lab.core.trial import Refused

FILE = Path(__file__).parents[3] / "experiments" / "attention-precision.yaml"
EXPERIMENT = yaml.safe_load(FILE.read_text())
TINY = {"queries": 24, "head_dim": 16, "keys": 96}
HEADINGS = {"tier", "group"}


def found(seed=0, **params):
    return trial(Params(**params), SimpleNamespace(seed=seed))


@pytest.mark.parametrize("variant", EXPERIMENT["variants"])
def test_every_variant_has_figures_of_its_own(variant):
    settings = {k: v for k, v in EXPERIMENT["variants"][variant].items() if k not in HEADINGS}
    metrics = found(**settings | TINY)
    assert metrics and set(metrics) <= set(EXPERIMENT["metrics"])
    assert all(math.isfinite(value) for value in metrics.values())


def test_a_seed_is_a_draw():
    assert found(seed=1, P="bfloat16", **TINY) == found(seed=1, P="bfloat16", **TINY)
    assert found(seed=1, P="bfloat16", **TINY) != found(seed=2, P="bfloat16", **TINY)


def test_without_rounding_there_is_no_error_to_speak_of():
    for settings in ({"algorithm": "standard"}, {}, {"incoherent": True}, {"threshold": 8, "offset": 4}):
        assert found(spread=3, outliers=True, **settings, **TINY)["relative"] < 1e-3  # percent: float32's


def test_what_is_given_is_the_truth_and_what_is_fed_is_not():
    given, fed = found(given="float16", **TINY), found(fed="float16", **TINY)
    assert given["rmse"] < 1e-6 < 1e-5 < fed["rmse"]


def test_outliers_are_as_wide_and_as_rare_as_asked():
    params = Params(outliers=True, queries=2, keys=20_000, head_dim=64)
    _, K, _ = measured.inputs(params, torch.Generator().manual_seed(0))
    assert K.var().item() == pytest.approx(1 + 0.001 * 100, rel=0.02)
    assert (K.abs() > 6).double().mean().item() == pytest.approx(
        0.001 * math.erfc(6 / math.sqrt(202)), rel=0.1
    )


def test_the_largest_error_is_between_the_mean_and_all_of_it():
    metrics = found(given="bfloat16", P="bfloat16", kept="bfloat16", output="bfloat16", **TINY)
    numbers = TINY["queries"] * TINY["head_dim"]
    assert metrics["rmse"] < metrics["max_error"] < metrics["rmse"] * math.sqrt(numbers)


def test_divisions_are_one_or_one_a_tile():
    small = TINY | {"tile": 32}
    assert found(algorithm="flash-1", **small)["divisions"] == 3
    assert found(algorithm="flash-2", **small)["divisions"] == 1


def test_memory_of_the_whole_is_its_matrix_and_is_told_once():
    n = 1024
    whole = found(algorithm="whole", keys=n, head_dim=16)
    assert whole["memory"] == pytest.approx(n * n * 4, rel=0.02) and whole["growth"] == pytest.approx(
        2, abs=0.05
    )
    assert found(seed=1, algorithm="whole", keys=n, head_dim=16).keys() == {"agreement"}
    with_gradients = found(algorithm="whole", keys=n, head_dim=16, gradients=True)
    assert with_gradients["memory"] == pytest.approx(2 * n * n * 4, rel=0.1)


def test_the_gradients_of_the_whole_and_of_chunks_are_softmaxs():
    Q, K, V = (torch.randn(40, 8, dtype=torch.float64, requires_grad=True) for _ in range(3))
    dO = torch.randn(40, 8, dtype=torch.float64)
    expected = torch.autograd.grad(torch.softmax(Q @ K.mT / 8**0.5, -1) @ V, (Q, K, V), dO)
    for O in (chunked.standard(Q, K, V), chunked.chunked(Q, K, V, queries=16, keys=24)):  # noqa: E741
        torch.testing.assert_close(torch.autograd.grad(O, (Q, K, V), dO), expected)


def test_last_place_is_the_distance_to_the_next_number():
    x = torch.tensor([1.0, 1.5, -2.0, 0.75], dtype=torch.float64)
    assert last_place(x).tolist() == [2**-7, 2**-7, 2**-6, 2**-8]
    assert torch.finfo(torch.bfloat16).eps == 2**-7


def test_ties_are_rounded_away_from_zero_where_two_share_the_maximum():
    one, two, shifted = (
        bias_of_ties(equal, shift, 64, 64, torch.Generator().manual_seed(0))
        for equal, shift in ((1, 0.0), (2, 0.0), (2, 0.3))
    )
    assert two < -0.1 and abs(one) < 0.02 and abs(shifted) < 0.05


def test_no_hadamard_matrix_of_48():
    with pytest.raises(Refused, match="power of two"):
        found(incoherent=True, head_dim=48)


def test_params_are_read_without_torch():
    code = "import sys, lab.core.attention.precision.trial; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
