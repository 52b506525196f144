"""Rewards by kind of prompt, and filters."""

import numpy as np
import pytest

from lab.core.grpo.reward_spec import rewards_of
from lab.core.grpo.rewards import RewardError, WeightedRewards
from lab.core.grpo.tasks import Problem, task
from lab.core.r1_stages.prompts import both_kinds, rewards_of_both
from lab.core.r1_stages.samples import in_form
from lab.core.r1_stages.taste import General, taste_task

CHAIN = task("chain", structure="z10", alphabet="ABCDEFGHIJ")
SUM, SAY = Problem("7+5=", "2", 1), General("say4abc=", "", 0, 4)
RIGHT, ANSWER = "<think>7+5=2</think><answer>2</answer><eos>", "<answer>abce</answer><eos>"


def scores(preference, problems, texts):
    of = rewards_of_both(rewards_of("accuracy+0.5*format+language", CHAIN, lambda name: None), preference)
    return of(np.random.default_rng(0))(problems, texts)


def test_each_kind_of_prompt_is_paid_for_its_own():
    judge_saw = []

    def judge(problems, answers):
        judge_saw.extend(zip(problems, answers, strict=True))
        return [0.25] * len(answers)

    problems, texts = [SUM, SAY, SAY, SUM], [RIGHT, ANSWER, RIGHT, ANSWER]
    found = scores(judge, problems, texts)
    assert found.total == [2.5, 1.25, 0.0, 0.0]
    assert found.values["answers"] == [0, 1, 0, 0] and found.values["preference"] == [0, 0.25, 0, 0]
    assert judge_saw == [(SAY, "abce")]
    without = scores(None, problems, texts)
    assert without.total == [2.5, 1.0, 0.0, 0.0] and "preference" not in without.values


def test_a_share_of_the_prompts_is_general_and_no_answer_to_one_is_right():
    both = both_kinds(CHAIN, taste_task((4, 6), (0.2, 0.8)), 0.25)
    problems = both.problems(np.random.default_rng(0), 40, "train")
    assert sum(isinstance(problem, General) for problem in problems) == 10
    assert both.is_right(SUM, RIGHT) and not both.is_right(General("say4abc=", "2", 0, 4), RIGHT)


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        (RIGHT, True),
        ("<think>7+5=3</think><answer>3</answer><eos>", True),  # wrong, and in form
        ("<think>H+F=C</think><answer>2</answer><eos>", False),
        ("<think>7+5=C</think><answer>2</answer><eos>", False),
        ("<think>+=</think><answer>2</answer><eos>", False),
        ("<answer>2</answer><eos>", False),
        ("<think>7+5=2<answer>2</answer><eos>", False),
    ],
)
def test_form_is_whole_tags_and_the_prompts_alphabet(text, passes):
    assert in_form(text, CHAIN.alphabets) is passes


def test_a_reward_that_gives_too_few_values_is_named():
    short = rewards_of_both(lambda random: WeightedRewards({"short": lambda problems, completions: []}), None)
    with pytest.raises(RewardError, match="'short' raised ValueError: it gave 0 values for 1 completions"):
        short(np.random.default_rng(0))([SUM, SAY], [RIGHT, RIGHT])
