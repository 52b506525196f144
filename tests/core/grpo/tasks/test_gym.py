"""reasoning-gym's tasks, and the message where the package is missing."""

import sys
from importlib.util import find_spec

import numpy as np
import pytest

from lab.core.grpo.tasks import Mixture, task

needs_gym = pytest.mark.skipif(find_spec("reasoning_gym") is None, reason="needs reasoning-gym")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(
        ModuleNotFoundError, match=r"gym/chain_sum needs the package reasoning-gym .*paperlab\[tasks\]"
    ):
        task("gym/chain_sum")


@needs_gym
def test_a_task_of_the_gym():
    one = task("gym/chain_sum", min_terms=2, max_terms=3, harder={"min_terms": 5, "max_terms": 6})
    problems = {
        split: one.problems(np.random.default_rng(1), 40, split) for split in ("train", "test", "harder")
    }
    assert problems["train"] == one.problems(np.random.default_rng(1), 40, "train")
    assert not {p.prompt for p in problems["train"]} & {p.prompt for p in problems["test"]}
    assert all(p.prompt.count("+") + p.prompt.count("-") >= 4 for p in problems["harder"])
    for p in problems["train"]:
        assert one.vocabulary.decode(one.vocabulary.encode(p.prompt)) == p.prompt
        assert one.is_right(p, f"<answer>{p.answer}</answer><eos>")
        assert not one.is_right(p, f"<answer>{p.answer}1</answer><eos>")
        assert not one.is_right(p, p.answer)
    pairs = one.demonstrations(np.random.default_rng(0), 20, Mixture(long=0.0))
    assert all(c == f"<answer>{p.answer}</answer><eos>" and one.is_right(p, c) for p, c in pairs)


@needs_gym
def test_what_the_gym_does_not_have():
    with pytest.raises(ValueError, match="Did you mean gym/chain_sum"):
        task("gym/chain_sun")
    with pytest.raises(ValueError, match="min_trms"):
        task("gym/chain_sum", min_trms=3)
    one = task("gym/chain_sum")
    with pytest.raises(ValueError, match="`long` to 0"):
        one.demonstrations(np.random.default_rng(0), 1, Mixture())
    with pytest.raises(ValueError, match="no split harder"):
        one.problems(np.random.default_rng(0), 1, "harder")
