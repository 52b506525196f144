"""A user's task: the example of the documentation, and the messages about mistakes in one."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lab.core.grpo.tasks import SPLITS, TASKS, Mixture, Problem, task, vocabulary
from lab.core.grpo.tasks.sample import check_task, sample, with_tokenizer
from lab.core.grpo.tasks.user_task import user_task

EXAMPLE = Path(__file__).parents[4] / "docs" / "my_task.py"
DEPTHS = {"base": (1, 2), "train": (1, 3), "harder": (4, 5)}
PARITY = task("chain", structure="z2", **DEPTHS)


def largest():
    spec = importlib.util.spec_from_file_location("my_task", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.largest


def test_the_example_is_a_whole_task_in_forty_lines():
    assert len(EXAMPLE.read_text().splitlines()) <= 40
    one = user_task(
        "./my_task.py:largest", largest(), {"base": (2, 3), "train": (3, 5), "harder": (6, 7)}, Mixture()
    )
    rng = np.random.default_rng(0)
    drawn = {split: one.problems(rng, 500, split) for split in SPLITS}
    assert {p.difficulty for p in drawn["test"]} == {3, 4, 5} and {p.difficulty for p in drawn["harder"]} == {
        6,
        7,
    }
    for problem in drawn["test"]:
        assert problem.answer == max(problem.prompt.removesuffix("=").split(","))
    shown = one.demonstrations(rng, 2000, Mixture(long=0.3))
    assert np.mean(["<think>" in text for _, text in shown]) == pytest.approx(0.3, abs=0.05)
    assert all(one.is_right(problem, text) for problem, text in shown)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("tagged", [True, False])
def test_built_in_tasks_pass_the_check(name, tagged):
    check_task(task(name), Mixture(tagged=tagged))


def test_it_is_called_with_the_depths_that_it_takes():
    received = {}

    def takes(train, **more):
        received.update(train=train, more=more)
        return PARITY

    assert user_task("f", takes, DEPTHS, Mixture()) is PARITY and received == {"train": (1, 3), "more": {}}
    assert user_task("f", lambda: PARITY, DEPTHS, Mixture()) is PARITY


def takes_digits(digits):
    return PARITY


def raises():
    raise KeyError("no\nsuch thing")


def changed(**changes):
    return lambda: replace(PARITY, **changes)


def drawing(problem, split="train"):
    """Parity, but for one split, whose problems are all the same."""

    def problems(rng, count, wanted):
        return [problem] * count if wanted == split else PARITY.problems(rng, count, wanted)

    return changed(problems=problems)


def showing(text):
    return changed(demonstrations=lambda rng, count, mixture: [(Problem("1+0=", "1", 1), text)] * count)


UNSEEDED = np.random.default_rng()
TESTED = next(p for p in PARITY.problems(np.random.default_rng(0), 1, "test"))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (takes_digits, "f asks for digits; a task is given base, train, harder, or nothing"),
        (raises, r"f raised KeyError: 'no\\nsuch thing'"),
        (lambda: [PARITY], "f returned list, not a Task of lab.core.grpo.tasks"),
        (lambda: None, "f returned NoneType, not a Task"),
        (
            changed(problems=lambda rng, count, split: 1 / 0),
            "f: drawing problems and demonstrations raised ZeroDivisionError: division by zero",
        ),
        (drawing(("1+0=", "1")), "f: problems of split train are tuple, not Problem"),
        (
            drawing(Problem("1+2=", "1", 1)),
            r"f: reading the prompt '1\+2=' raised ValueError: no token for '2='",
        ),
        (drawing(Problem("", "1", 1)), "f: the prompt '' has 0 tokens"),
        (drawing(Problem("1" * 13, "1", 1)), "f: the prompt '1{13}' has 13 tokens, and longest_prompt is 12"),
        (drawing(TESTED), r"f: the prompt '.*' is learnt from and tested on; `draw` keeps the two apart"),
        (
            changed(is_right=lambda problem, text: False),
            r"f: is_right refuses <answer>.</answer><eos> for '.*', the problem's own answer",
        ),
        (changed(is_right=lambda problem: False), r"f: is_right of '.*' raised TypeError: "),
        (showing("<answer>1</answer>"), "f: the demonstration '<answer>1</answer>' does not end in <eos>"),
        (
            showing("<b><eos>"),
            "f: reading the completion '<b><eos>' raised ValueError: no token for '<b><eos>'",
        ),
        (showing("1" * 35 + "<eos>"), "has 36 tokens, and longest_completion is 35"),
        (showing(7), r"f: demonstrations are pairs of a Problem and a text, not Problem\(.*\) and 7"),
        (lambda: sys.exit(3), "f raised SystemExit: 3"),
        (
            changed(problems=lambda rng, count, split: sys.exit(3)),
            "f: drawing problems and demonstrations raised SystemExit: 3",
        ),
        (
            changed(problems=lambda rng, count, split: PARITY.problems(rng, count // 2, split)),
            "f: asked for 100 of base, it gives 50",
        ),
        (
            changed(demonstrations=lambda rng, count, mixture: []),
            "f: asked for 100 of demonstrations, it gives 0",
        ),
        (
            changed(problems=lambda rng, count, split: PARITY.problems(UNSEEDED, count, split)),
            "f: the same random numbers give other problems or demonstrations at a second call",
        ),
        (drawing(Problem("1+0=", "1", None)), r"f: the difficulty of '1\+0=' is None, no whole number"),
        (changed(is_right=lambda problem, text: True), "f: is_right takes an empty answer to '.*'"),
        (changed(longest_completion="many"), "f: its Task does not hold together: TypeError: "),
    ],
)
def test_mistakes_are_reported_in_one_line(function, message):
    with pytest.raises(ValueError, match=message) as error:
        user_task("f", function, DEPTHS, Mixture())
    assert "\n" not in str(error.value)


def test_harder_problems_are_asked_for_where_there_are_any():
    def problems(rng, count, split):
        if split == "harder":
            raise ValueError("there are none")
        return PARITY.problems(rng, count, split)

    one = user_task("f", changed(problems=problems, has_harder=False), DEPTHS, Mixture())
    assert set(sample(one, Mixture()).problems) == {"base", "train", "test"}
    assert with_tokenizer(one, Mixture(), PARITY.vocabulary).longest_prompt == PARITY.longest_prompt


def test_its_prints_go_to_standard_error(capsys):
    def talking():
        print("hello")
        return PARITY

    user_task("f", talking, DEPTHS, Mixture())
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", TASKS)
def test_a_task_in_its_own_tokens_is_unchanged(name):
    one = task(name)
    again = with_tokenizer(one, Mixture(), one.vocabulary)
    assert (again.longest_prompt, again.longest_completion) == (one.longest_prompt, one.longest_completion)


class Letters:
    """Each character is a token, and `^` stands before every text."""

    size, eos, pad = 0x110000, 0, 1

    def encode(self, text):
        return [ord(c) for c in "^" + text]

    def decode(self, ids, *, keep_eos=True):
        return "".join(map(chr, ids))


def test_lengths_are_those_of_the_other_vocabulary():
    """Permutations are one token of ours and five letters; tags of ours are one, and seven to nine letters."""
    one = task("chain", structure="s5", base=(1, 3), train=(2, 4), harder=(5, 7))
    tokenized = with_tokenizer(one, Mixture(long=1.0, slips=0.0, leaps=0.0), Letters())
    assert tokenized.vocabulary.encode("a") == [ord("^"), ord("a")] and tokenized.is_right is one.is_right
    deepest = 7
    assert tokenized.longest_prompt >= 1 + 5 * (deepest + 1) + deepest + 1  # what 7 operations take
    assert tokenized.longest_prompt <= 1.05 * (1 + 5 * (deepest + 1) + deepest + 1)
    longest = 18 * deepest - 1 + len("<think></think><answer></answer>") + 5 + 1
    assert (
        longest <= tokenized.longest_completion <= 1.35 * longest
    )  # tags weigh less in long ones than in those seen


def test_a_vocabulary_that_cannot_write_the_text():
    class Shouting(Letters):
        def encode(self, text):
            return super().encode(text.upper())

    with pytest.raises(ValueError, match=r"cannot write the task's text: '<.*>' comes back as '<"):
        with_tokenizer(PARITY, Mixture(), Shouting())
    with pytest.raises(ValueError, match="no token for"):
        with_tokenizer(PARITY, Mixture(), vocabulary("01+"))


def test_a_sample_is_the_same_every_time():
    assert sample(PARITY, Mixture()) == sample(PARITY, Mixture())
