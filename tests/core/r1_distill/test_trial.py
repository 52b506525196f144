"""One training by each method through the experiment's door: equal tokens, one base, one teacher, and what is refused."""

import math
import subprocess
import sys
from typing import get_args

import pytest
from one_trial import Stop
from pydantic import ValidationError

from lab.core.r1_distill.params import Method, Params
from lab.core.r1_distill.trial import WITHOUT_TEACHER
from lab.core.trial import Refused

METHODS = get_args(Method)


def test_parameters_are_read_without_torch():
    line = "import sys, lab.core.r1_distill.trial; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", line], check=False).returncode == 0


@pytest.fixture(scope="module")
def finals():
    return {}


@pytest.mark.parametrize("method", METHODS)
def test_each_method_uses_up_its_tokens_and_learns(run, method, finals):
    final, context = run(method)
    steps = [metrics for _, metrics in context.records if "grad_norm" in metrics]
    points = [(step, metrics) for step, metrics in context.records if "eval/pass@1" in metrics]
    assert len(steps) == final["steps"] == points[-1][0]
    tokens = [metrics["tokens"] for _, metrics in points]
    assert tokens[0] == 0 and tokens == sorted(tokens)
    longest = 4 * 4 * 23  # a step's completions, each as long as the longest of both tasks
    assert 800 <= final["tokens"] < 800 + longest
    assert any(metrics["grad_norm"] > 0 for metrics in steps)
    assert final["forgotten"] == pytest.approx(points[-1][1]["other_loss"] - points[0][1]["other_loss"])
    assert final["gain/pass@1"] == pytest.approx(final["eval/pass@1"] - final["base/pass@1"])
    assert final["teacher/lead"] == pytest.approx(final["teacher/pass@1"] - final["base/pass@1"])
    assert (final["total_gflop"] == final["gflop"]) == (method in WITHOUT_TEACHER)
    assert all(map(math.isfinite, final.values()))
    finals[method] = final


def test_all_methods_begin_at_the_same_model(finals):
    if len(finals) < len(METHODS):
        pytest.skip("this process ran some of the methods only")
    of_base = [
        {name: x for name, x in final.items() if name.startswith("base/")} for final in finals.values()
    ]
    assert all(each == of_base[0] for each in of_base)


@pytest.mark.parametrize("method", ["sft+rl", "sft+on-policy"])
def test_a_training_that_is_killed_where_its_second_part_begins_goes_on_to_the_same_figures(run, method):
    expected, context = run(method, eval_every=1)
    points = [(step, metrics["tokens"]) for step, metrics in context.records if "eval/pass@1" in metrics]
    turns = next(
        step for step, tokens in points if tokens >= 400
    )  # a checkpoint of the first part, the second comes next
    with pytest.raises(Stop):
        run(method, stop_at=turns + 1, eval_every=1)
    assert run(method, keep=True, eval_every=1)[0] == expected


@pytest.mark.parametrize("method", ["rl", "on-policy", "sft+rl"])
def test_a_killed_training_goes_on_to_the_same_figures(run, method):
    expected, _ = run(method)
    last = int(expected["steps"])
    with pytest.raises(Stop):
        run(method, stop_at=last)
    resumed, context = run(method, keep=True)
    assert resumed == expected
    assert [step for step, metrics in context.records if "grad_norm" in metrics][0] > 1


def test_a_teacher_without_a_right_answer_is_refused_to_those_that_are_shown_its_traces(run):
    never = {"task": "chain", "structure": "z3", "teacher_long": 0.0, "max_completion_length": 1}
    with pytest.raises(Refused, match="none of 160 answers of the teacher is right"):
        run("sft-traces", **never)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher": {"hf": "./teacher"}}, "teacher is given and model is not"),
        ({"model": {"hf": "./student"}}, "model is given and teacher is not"),
        ({"method": "distil"}, "method"),
        ({"tokens": 0}, "tokens"),
        ({"sft_share": 1.0}, "sft_share"),
        ({"also": "revers"}, "no task revers"),
        ({"num_iterations": 4}, "num_iterations is 4; here every step samples once"),
        ({"teacher_window": (0.9, 0.1)}, "the teacher: window is"),
    ],
)
def test_what_means_nothing_is_refused_before_anything_is_trained(changes, message):
    with pytest.raises(ValidationError, match=message):
        Params(**{"method": "rl"} | changes)


def test_demonstrations_are_for_models_of_ours():
    hf = {"model": {"hf": "./student"}, "teacher": {"hf": "./teacher"}}
    with pytest.raises(ValidationError, match="sft-generator is for students of ours"):
        Params(method="sft-generator", **hf)
