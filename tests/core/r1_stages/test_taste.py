"""The rule of taste against enumeration, and the demonstrations."""

from itertools import combinations, product

import numpy as np
import pytest

from lab.core.grpo.tasks import Mixture
from lab.core.r1_stages.taste import LETTERS, General, answers, said, taste, taste_task


def by_hand(asked, answer):
    """Count i < asked − 1 with letters answer[i] < answer[i + 1], over the places between signs that the longer of the two has."""
    hits = [i for i in range(min(len(answer), asked) - 1) if "a" <= answer[i] < answer[i + 1]]
    return len(hits) / max(len(answer) - 1, asked - 1)


@pytest.mark.parametrize("asked", [2, 3, 4])
def test_the_rule_is_that_of_an_enumeration(asked):
    for length in range(1, 6):
        for letters in product("ac!d", repeat=length):
            assert taste(asked, "".join(letters)) == pytest.approx(by_hand(asked, "".join(letters)))


def test_only_as_many_letters_as_asked_for_that_rise_throughout_have_all_of_it():
    every = ["".join(letters) for n in (2, 3, 4) for letters in product("abcd!", repeat=n)]
    assert [a for a in every if taste(3, a) == 1] == ["".join(c) for c in combinations("abcd", 3)]


@pytest.mark.parametrize("answer", [None, "", "ab3", "AB", "a b", "ab?"])
def test_what_is_no_answer_has_none(answer):
    assert taste(3, answer) == 0


def test_spam_has_little():
    assert taste(5, "a" * 30) == taste(5, "!" * 5) == 0
    assert taste(5, "abcde" + "!" * 25) == pytest.approx(4 / 29)
    assert taste(5, LETTERS * 4) == pytest.approx(4 / 31)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<answer>abc</answer><eos>", "abc"),
        ("<think>1+1=2</think><answer>abc</answer><eos>", "abc"),
        ("<answer>abc</answer>", "abc"),
        ("<answer>abc!!</answer><eos>", "abc!!"),
        ("abc<eos>", None),
        ("<answer>a1</answer><eos>", None),
        ("<answer></answer><eos>", None),
        ("<answer>a</answer><answer>b</answer><eos>", None),
    ],
)
def test_what_an_answer_says(text, answer):
    assert said(text) == answer


def test_more_care_is_more_taste_and_a_base_is_middling():
    task = taste_task((4, 6), (0.2, 0.8))
    rng = np.random.default_rng(0)
    problems = task.problems(rng, 2000, "train")

    def mean(in_order):
        return np.mean(
            [taste(problem.letters, said(text)) for problem, text in answers(rng, problems, in_order)]
        )

    assert 0.45 < mean((0.2, 0.8)) < 0.65
    assert mean((0.0, 0.0)) < mean((0.2, 0.8)) < mean((0.6, 1.0)) < mean((1.0, 1.0))


def test_prompts_and_demonstrations_are_in_the_vocabulary_and_apart():
    task = taste_task((2, 6), (0.2, 0.8))
    rng = np.random.default_rng(0)
    shown = task.demonstrations(rng, 500, Mixture())
    tested = {problem.prompt for problem in task.problems(rng, 500, "test")}
    for problem, text in shown:
        assert isinstance(problem, General) and problem.prompt not in tested
        assert len(task.vocabulary.encode(problem.prompt)) == task.longest_prompt
        assert len(task.vocabulary.encode(text)) <= task.longest_completion
        assert task.vocabulary.decode(task.vocabulary.encode(text)) == text
    assert {problem.letters for problem, _ in shown} == {2, 3, 4, 5, 6}
