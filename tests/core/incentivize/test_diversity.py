"""Training on permutations: what one is, what all are, and how a rise is measured."""

import subprocess
import sys

import pytest
from one_trial import context_in

from lab.core.incentivize.diversity.params import Params
from lab.core.incentivize.diversity.training import rise
from lab.core.incentivize.diversity.trial import trial

TINY = {
    "symbols": 5,
    "pairs": 8,
    "held_out": 20,
    "d_model": 32,
    "layers": 1,
    "batch": 32,
    "eval_every": 20,
    "eval_sequences": 32,
}


def run(folder, **changes):
    return trial(Params(**TINY | changes), context_in(folder, 0))


def test_parameters_are_read_without_torch():
    line = "import sys, lab.core.incentivize.diversity.trial; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", line], check=False).returncode == 0


def test_one_permutation_is_memorised_and_no_other_is_learnt(tmp_path):
    found = run(tmp_path, tasks=1, steps=60)
    assert found["memory/right"] == found["known/right"] == found["ideal/memory"] == 1
    assert found["memory/bits"] < 0.1 and found["new/right"] < 0.7
    assert "smoother" not in found


def test_all_permutations_make_a_look_up_and_leave_nothing_to_remember(tmp_path):
    found = run(tmp_path, tasks="all", steps=160)
    assert found["new/right"] > 0.9
    assert found["memory/right"] == pytest.approx(found["ideal/general"], abs=0.15)
    assert found["ideal/memory"] == found["ideal/general"]


def test_a_rise_is_the_factor_between_a_tenth_and_nine_tenths():
    assert rise([0, 10, 20], [0.0, 0.5, 1.0]) == pytest.approx(9)
    assert rise([0, 100, 110, 120], [3.0, 3.0, 1.0, 1.0]) == pytest.approx(109 / 101)
    with pytest.raises(ValueError, match="nothing changes"):
        rise([0, 1], [1.0, 1.0])
