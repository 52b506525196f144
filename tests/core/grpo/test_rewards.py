"""What text earns, what it must not earn, and rewards that go wrong."""

import math
from dataclasses import dataclass

import numpy as np
import pytest

from lab.core.grpo.rewards import (
    RewardError,
    WeightedRewards,
    accuracy,
    answer_of,
    format,
    language_consistency,
    length,
    random_reward,
    tokens_of,
)
from lab.core.grpo.tasks import says


@dataclass(frozen=True)
class Problem:
    prompt: str
    answer: str


SUM = Problem("7+5+8=", "0")
right = accuracy(says)
GOOD = "<think>7+5=2,2+8=0</think><answer>0</answer><eos>"


def earned(reward, *completions):
    return list(reward([SUM] * len(completions), completions))


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        (GOOD, "0"),
        ("<answer>9</answer><eos>", "9"),
        ("<answer>9</answer>", "9"),
        ("<answer> 12\n</answer>", "12"),
        ("<answer></answer>", ""),
        ("<think>1", None),
        ("9<eos>", None),
        ("<answer>9", None),
        ("9</answer>", None),
        ("</answer>9<answer>", None),
        ("<answer>9</answer><answer>9</answer>", None),
        ("<answer><answer>9</answer></answer>", None),
        ("<answer><think>9</think></answer>", None),
        ("<answer>9<eos></answer>", None),
        ("", None),
    ],
)
def test_answer_of(completion, answer):
    assert answer_of(completion) == answer


def test_accuracy_is_what_the_verifier_says():
    assert earned(right, GOOD, "<answer>0</answer><eos>", "<answer>1</answer>", "0", "<answer>0</answer>1") == [
        1, 1, 0, 0, 0
    ]  # fmt: skip


@pytest.mark.parametrize(
    "completion",
    [GOOD, GOOD.removesuffix("<eos>"), "<think>\n7\n</think>\n<answer>\n0\n</answer>\n<eos>\n", "<think>a<b</think><answer>x</answer>"],
)  # fmt: skip
def test_format(completion):
    assert earned(format, completion) == [1]


@pytest.mark.parametrize(
    "completion",
    [
        "",
        "<answer>0</answer><eos>",
        "<think></think><answer>0</answer><eos>",
        "<think> \n</think><answer>0</answer><eos>",
        "<think>7</think><answer></answer><eos>",
        "<think>7</think><eos>",
        "<think>7<answer>0</answer><eos>",
        "7</think><answer>0</answer><eos>",
        "<think>7</think><answer>0<eos>",
        "<think>7</think><answer>0</answer>1<eos>",
        "<think>7</think><answer>0</answer><eos>1",
        "<think>7</think><answer>0</answer><eos><eos>",
        "<think>7<eos></think><answer>0</answer>",
        "<think>7</think>8<answer>0</answer><eos>",
        "6<think>7</think><answer>0</answer><eos>",
        "<answer>0</answer><think>7</think><eos>",
        "<think><think>7</think></think><answer>0</answer><eos>",
        "<think>7<answer>0</answer></think><answer>0</answer><eos>",
        "<think>7</think><answer>0</answer><answer>0</answer><eos>",
        "<think>7</think><think>7</think><answer>0</answer><eos>",
        "<think>7</think><answer><think>0</answer><eos>",
        "<think></think>7<think></think><answer>0</answer><eos>",
    ],
)
def test_what_is_not_the_format(completion):
    assert earned(format, completion) == [0]


def test_length():
    assert tokens_of("<think>7+</think><eos>") == ["<think>", "7", "+", "</think>", "<eos>"]
    assert tokens_of("a<b") == ["a", "<", "b"]
    assert earned(length(10), "", "<answer>0</answer><eos>", "1" * 20) == [0, -0.4, -2]
    with pytest.raises(ValueError, match="max_length is 0"):
        length(0)


def test_language_consistency():
    digits = "0123456789", "abcdefghij"
    traces = [
        "<think>1+2=3</think>",
        "<think>1+b=d</think>",
        "<think>a+b=c</think>",
        "<think></think>",
        "12",
        "<think>+</think>",
    ]
    assert earned(language_consistency(*digits), *traces) == pytest.approx([1, 2 / 3, 1, 0, 0, 0])
    assert earned(language_consistency(*digits, target=digits[0]), *traces) == pytest.approx(
        [1, 1 / 3, 0, 0, 0, 0]
    )
    # what stands in the answer is no part of the trace
    assert earned(language_consistency(*digits), "<think>12</think><answer>a</answer>") == [1]
    with pytest.raises(ValueError, match="both have '1'"):
        language_consistency("12", "1b")
    with pytest.raises(ValueError, match="two alphabets or more, not 1"):
        language_consistency("12")
    with pytest.raises(ValueError, match="the target 'x' is none"):
        language_consistency("12", "ab", target="x")


def test_the_random_reward_depends_only_on_its_generator():
    one = random_reward(np.random.default_rng(3))
    other = random_reward(np.random.default_rng(3))
    first = earned(one, *[GOOD] * 4000)
    assert first == earned(other, *[""] * 4000)
    assert set(first) == {0, 1}
    assert abs(sum(first) / 4000 - 0.5) < 0.04  # five standard deviations
    assert first != earned(one, *[GOOD] * 4000)


def test_weighted_rewards():
    reward = WeightedRewards(
        {"accuracy": right, "format": format, "length": length(10)}, {"format": 0.5, "length": 0}
    )
    scores = reward([SUM] * 3, [GOOD, "<answer>0</answer>", "<think>1</think><answer>1</answer>"])
    assert scores.total == [1.5, 1, 0.5]
    assert scores.values["accuracy"] == [1, 1, 0]
    assert scores.values["format"] == [1, 0, 1]
    assert scores.values["length"][1] == -0.3  # watched, with no part in the total
    assert scores.unscored == 0
    assert reward([], []).total == []


def gives(*values):
    return lambda problems, completions: list(values)


@pytest.mark.parametrize("missing", [None, math.nan, np.float32("nan")])
def test_no_score_is_counted(missing):
    reward = WeightedRewards({"accuracy": right, "mine": gives(*[1] * 9, missing)})
    scores = reward([SUM] * 10, [GOOD] * 10)
    assert scores.total[:9] == [2] * 9
    assert math.isnan(scores.total[9])
    assert math.isnan(scores.values["mine"][9])
    assert scores.values["accuracy"][9] == 1
    assert scores.unscored == 1


def test_too_many_completions_without_a_score_raise():
    reward = {"accuracy": right, "mine": gives(*[1] * 8, None, None)}
    with pytest.raises(
        RewardError, match=r"reward 'mine' gave no score .* completion 'h8'; in all 2 of 10"
    ) as error:
        WeightedRewards(reward)([SUM] * 10, [f"h{i}" for i in range(10)])
    assert "\n" not in str(error.value)
    assert WeightedRewards(reward, {"mine": 0})([SUM] * 10, [GOOD] * 10).total == [1] * 10  # only watched


@pytest.mark.parametrize(
    ("reward", "says"),
    [
        (
            gives(1),
            r"reward 'mine' returned 1 values for 2 completions, first for prompt '7\+5\+8=', completion 'one'",
        ),
        (gives(1, "0.5"), "reward 'mine' returned '0.5', which is no finite number, for .* completion 'two'"),
        (
            gives(1, math.inf),
            "reward 'mine' returned inf, which is no finite number, for .* completion 'two'",
        ),
        (gives([], 1), r"reward 'mine' returned \[\], which is no finite number, for .* completion 'one'"),
        (lambda p, c: 0.5, "reward 'mine' raised TypeError: .* completion 'one'"),
        (
            lambda p, c: [1 / (x != "two") for x in c],
            "raised ZeroDivisionError: .*, first for .* completion 'two'",
        ),
        (lambda p, c: {}["a\nb"], r"raised KeyError: 'a\\nb'"),
    ],
)
def test_a_reward_that_goes_wrong_is_named_in_one_line(reward, says):
    with pytest.raises(RewardError, match=says) as error:
        WeightedRewards({"accuracy": right, "mine": reward})([SUM] * 2, ["one", "two"])
    assert "\n" not in str(error.value)


def test_an_error_of_several_lines_becomes_one():
    def reward(problems, completions):
        raise ValueError("no\n  judge\n" + "x")

    with pytest.raises(RewardError, match="raised ValueError: no judge x, first for") as error:
        WeightedRewards({"mine": reward})([SUM], ["y" * 500])
    assert len(str(error.value)) < 250


def test_arrays_and_tensors_are_numbers_too():
    assert WeightedRewards({"mine": lambda p, c: np.arange(len(c))})([SUM] * 2, ["", ""]).total == [0, 1]
    torch = pytest.importorskip("torch")
    assert WeightedRewards({"mine": lambda p, c: torch.ones(len(c))})([SUM] * 2, ["", ""]).total == [1, 1]


def test_refusals():
    with pytest.raises(ValueError, match="no rewards"):
        WeightedRewards({})
    with pytest.raises(ValueError, match="a weight for 'acuracy'.*known: accuracy"):
        WeightedRewards({"accuracy": right}, {"acuracy": 1})
    with pytest.raises(ValueError, match="the weight of 'accuracy' is nan"):
        WeightedRewards({"accuracy": right}, {"accuracy": math.nan})
    with pytest.raises(ValueError, match="1 problems, but 2 completions"):
        WeightedRewards({"accuracy": right})([SUM], ["", ""])
