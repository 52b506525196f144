"""The text of `reward:`: built-in names and users' functions, with weights."""

import numpy as np
import pytest

from lab.core.grpo.reward_spec import reward_terms, rewards_of
from lab.core.grpo.tasks import Problem, task

PARITY = task("chain", structure="z2", base=(1, 2), train=(1, 3), harder=(4, 5))
SUM = Problem("1+0=", "1", 1)
GOOD = "<think>1+0=1</think><answer>1</answer><eos>"


def scored(text, *completions, problem=SUM, **functions):
    composed = rewards_of(text, PARITY, lambda name: functions[name.rpartition(":")[2]])(
        np.random.default_rng(0)
    )
    return composed([problem] * len(completions), completions)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("accuracy+0.2*format", {"accuracy": 1, "format": 0.2}),
        ("accuracy+0.5*./mine.py:f", {"accuracy": 1, "./mine.py:f": 0.5}),
        ("-1*./mine.py:f+./c++/mine.py:f", {"./mine.py:f": -1, "./c++/mine.py:f": 1}),
    ],
)
def test_terms(text, expected):
    assert reward_terms(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "accuracy+formt",
            r"no reward 'formt'\. Did you mean format\? There are: accuracy, .*, \./file\.py:function",
        ),
        ("./mine.py:f+acuracy", r"no reward 'acuracy'\. Did you mean accuracy"),
        ("accuracy+./mine.py", r"\./mine\.py is a file; name the function in it"),
        ("accuracy+", "no reward ''"),
        ("./mine.py:f+2*./mine.py:f", r"the reward \./mine\.py:f stands there twice"),
        ("accuracy+much*./mine.py:f", r"the weight of \./mine\.py:f is 'much', which is no number"),
        ("inf*accuracy", "the weight of accuracy is inf, which is not finite"),
    ],
)
def test_a_wrong_term_is_named(text, message):
    with pytest.raises(ValueError, match=message):
        reward_terms(text)


def test_users_and_built_in_rewards_add_up():
    scores = scored(
        "accuracy+0.5*./mine.py:letters+-2*./other.py:ends",
        GOOD,
        "1",
        letters=lambda problems, texts: [len(text) for text in texts],
        ends=lambda problems, texts: [text.endswith("<eos>") for text in texts],
    )
    assert scores.values == {"accuracy": [1, 0], "mine.py:letters": [len(GOOD), 1], "other.py:ends": [1, 0]}
    assert scores.total == [1 + 0.5 * len(GOOD) - 2, 0.5]


def test_two_functions_of_one_name_keep_their_folders():
    def one(problems, texts):
        return [1.0] * len(texts)

    assert set(scored("./a/m.py:f+./b/m.py:f+./m.py:g", GOOD, f=one, g=one).values) == {
        "./a/m.py:f",
        "./b/m.py:f",
        "m.py:g",
    }


@pytest.mark.parametrize("name", ["chain", "reverse", "sort", "countdown"])
@pytest.mark.parametrize("suffix", ["", "<eos>", "1", "1<eos>", " ", "</think>", "<answer>1</answer>"])
def test_the_reward_accuracy_agrees_with_evaluation(name, suffix):
    one = task(name)
    problems = one.problems(np.random.default_rng(0), 20, "train")
    texts = [f"<think>1</think><answer>{problem.answer}</answer>{suffix}" for problem in problems]
    paid = rewards_of("accuracy", one, None)(np.random.default_rng(0))(problems, texts).total
    assert paid == [one.is_right(problem, text) for problem, text in zip(problems, texts, strict=True)]
    assert set(paid) == {float(suffix in ("", "<eos>"))}
