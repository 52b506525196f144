"""What holds for every task: splits, seeds, the verifier, the registry."""

from inspect import signature

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.core.grpo.params import Params, task_of
from lab.core.grpo.tasks import SPLITS, TASKS, Mixture, Problem, task
from lab.core.grpo.tasks.problem import final_answer
from lab.core.grpo.tasks.split import draw, is_held_out

ALL = sorted(TASKS)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", ALL)
def test_learning_and_testing_never_share_a_prompt(name):
    one = task(name)
    prompts = {split: {p.prompt for p in one.problems(rng(i), 3000, split)} for i, split in enumerate(SPLITS)}
    shown = {p.prompt for p, _ in one.demonstrations(rng(9), 3000, Mixture())}
    learnt = prompts["base"] | prompts["train"] | shown
    assert not learnt & (prompts["test"] | prompts["harder"])
    assert min(map(len, prompts.values())) > 100


def test_one_range_of_depth_for_all_is_still_apart():
    # Depths that overlap, in a space so small that chance alone would share most prompts.
    one = task("chain", structure="z2", base=(3, 6), train=(3, 6), harder=(3, 6))
    learnt = {p.prompt for split in ("base", "train") for p in one.problems(rng(), 2000, split)}
    tested = {p.prompt for split in ("test", "harder") for p in one.problems(rng(1), 2000, split)}
    assert not learnt & tested
    assert len(learnt | tested) == sum(2**k for k in range(4, 8))  # and together they are all there is


def test_whether_a_prompt_is_held_out_is_the_same_everywhere():
    # Recorded once: another rule would let a saved base model have seen what it is tested on.
    assert all(is_held_out(prompt) for prompt in ("0+5=", "0+6=", "0+7="))
    assert not any(is_held_out(prompt) for prompt in ("7+5+8+4=", "1+0=", "reverse:3814=", "5+4="))
    share = np.mean([is_held_out(p.prompt) for p in _both_sides(5000)])
    assert abs(share - 0.2) < 5 * (0.16 / 5000) ** 0.5


def _both_sides(count):
    return [Problem(f"{i}+{j}=", "0", 1) for i in range(100) for j in range(count // 100)]


@pytest.mark.parametrize("name", ALL)
def test_harder_is_deeper(name):
    one = task(name)
    easy = {p.difficulty for p in one.problems(rng(), 1000, "train")}
    assert easy == {p.difficulty for p in one.problems(rng(1), 1000, "test")}
    assert min(p.difficulty for p in one.problems(rng(), 300, "harder")) > max(easy)


def test_depths_are_those_asked_for():
    one = task("chain", base=(1, 2), train=(3, 4), harder=(5, 7))
    found = {split: {p.difficulty for p in one.problems(rng(), 500, split)} for split in SPLITS}
    assert found == {"base": {1, 2}, "train": {3, 4}, "test": {3, 4}, "harder": {5, 6, 7}}
    assert {p.prompt.count("+") for p in one.problems(rng(), 500, "train")} == {3, 4}


@pytest.mark.parametrize("name", [name for name in ALL if "train" in signature(TASKS[name]).parameters])
def test_a_task_with_depths_gets_those_of_the_experiment(name):
    one = task_of(Params(task=name, base_depth=(2, 2), train_depth=(3, 3), harder_depth=(5, 5)), None)
    found = [{p.difficulty for p in one.problems(rng(), 200, split)} for split in SPLITS]
    default = [{p.difficulty for p in task(name).problems(rng(), 200, split)} for split in SPLITS]
    assert [len(depths) for depths in found] == [1, 1, 1, 1] and found != default
    assert found[0] != found[1] == found[2] != found[3]


@pytest.mark.parametrize("name", ALL)
def test_the_same_seed_gives_the_same(name):
    one, again = task(name), task(name)
    for split in SPLITS:
        assert one.problems(rng(3), 60, split) == again.problems(rng(3), 60, split)
        assert one.problems(rng(3), 60, split) != one.problems(rng(4), 60, split)
    assert one.demonstrations(rng(3), 60, Mixture()) == again.demonstrations(rng(3), 60, Mixture())


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("count", [0, 1, 7, 100])
def test_as_many_as_asked_for(name, count):
    one = task(name)
    assert len(one.problems(rng(), count, "test")) == count
    assert len(one.demonstrations(rng(), count, Mixture())) == count


@pytest.mark.parametrize("name", ALL)
def test_the_verifier(name):
    one = task(name)
    for problem in one.problems(rng(), 40, "train"):
        a = problem.answer
        other = "5-5-5" if name == "countdown" else "7" if a != "7" else "8"
        good = f"<answer>{a}</answer>"
        for right in (good, f"{good}<eos>", f"<think>1+1=2</think>{good}<eos>", f"<think>{good}<eos>"):
            assert one.is_right(problem, right), right
        for wrong in (
            "",
            "<eos>",
            a,
            f"{a}<eos>",
            f"<answer>{other}</answer><eos>",
            "<answer></answer><eos>",
            "<answer> </answer><eos>",
            f"{good}{good}<eos>",
            f"<answer>{other}</answer>{good}<eos>",
            f"{good}{other}<eos>",
            f"{good} <eos>",
            f"{good}<eos><eos>",
            f"<eos>{good}<eos>",
            f"<answer>{a}<eos>",
            f"{a}</answer><eos>",
            f"<answer>{a}</answer><answer><eos>",
            f"<answer>{good}<eos>",
            f"<answer>{a}</answer></answer><eos>",
            f"<answer><think>{a}</think></answer><eos>",
            f"<Answer>{a}</Answer><eos>",
            f"{good}</think><eos>",
        ):
            assert not one.is_right(problem, wrong), wrong


@given(st.lists(st.sampled_from(["<answer>", "</answer>", "<think>", "</think>", "4", "<eos>"]), max_size=7))
def test_an_answer_is_there_once_and_at_the_end(tokens):
    text = "".join(tokens)
    body = tokens[:-1] if tokens and tokens[-1] == "<eos>" else tokens
    answered = None
    if (
        "<eos>" not in body
        and body.count("<answer>") == body.count("</answer>") == 1
        and body[-1] == "</answer>"
    ):
        answered = body[body.index("<answer>") + 1 : -1]
    expected = "".join(answered) if answered and set(answered) == {"4"} else None
    assert final_answer(text) == expected


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), tagged=st.booleans())
def test_every_demonstration_survives_the_vocabulary(name, seed, tagged):
    one = task(name)
    words = one.vocabulary
    mixture = Mixture(0.7, 0.1, 0.3, 0.3, tagged=tagged, direct_noise=0.2)
    for problem, completion in one.demonstrations(np.random.default_rng(seed), 30, mixture):
        prompt, ids = words.encode(problem.prompt), words.encode(completion)
        assert (words.decode(prompt), words.decode(ids)) == (problem.prompt, completion)
        assert len(prompt) <= one.longest_prompt and len(ids) <= one.longest_completion
    for split in SPLITS:
        problems = one.problems(np.random.default_rng(seed), 10, split)
        assert all(len(words.encode(p.prompt)) <= one.longest_prompt for p in problems)


@pytest.mark.parametrize("name", ALL)
def test_demonstrations_without_noise_are_right(name):
    one = task(name)
    for tagged in (True, False):
        pairs = one.demonstrations(rng(), 300, Mixture(0.5, 0.0, 0.3, 0.3, tagged=tagged))
        assert all(one.is_right(problem, completion) for problem, completion in pairs)


@pytest.mark.parametrize(
    "key", ["long", "noise", "slips", "leaps", "direct_noise", "mixed", "second", "second_noise"]
)
@pytest.mark.parametrize("share", [-0.1, 1.01, float("nan"), float("inf")])
def test_shares_are_between_0_and_1(key, share):
    with pytest.raises(ValueError, match=f"^{key} is"):
        Mixture(**{key: share})


def test_a_split_without_problems_is_refused():
    def none(rng, count, split):
        return [(Problem("7+5+8+4=", "4", 3), None)] * count

    assert not is_held_out("7+5+8+4=")
    with pytest.raises(ValueError, match="split test has no problems"):
        draw(rng(), 3, "test", none)
    assert len(draw(rng(), 3, "train", none)) == 3


def test_names():
    with pytest.raises(ValueError, match="no task chian. Did you mean chain"):
        task("chian")
    with pytest.raises(ValueError, match="no operator. Did you mean operators"):
        task("chain", operator="+")
    with pytest.raises(ValueError, match="no split tset; there are base"):
        task("chain").problems(rng(), 1, "tset")
    with pytest.raises(ValueError, match="count is -1"):
        task("chain").problems(rng(), -1, "test")
