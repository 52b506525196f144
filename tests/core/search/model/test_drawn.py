"""The tree of a search: what was rated, how often and when, and what each step is worth."""

import numpy as np
import pytest
import torch

from lab.core.search.beam import beam
from lab.core.search.model.drawn import Seen, tree
from lab.core.search.prefixes import Counted, last

from .test_texts import END, enumerated, writer


def test_the_tree_is_that_of_all_that_was_rated() -> None:
    of, seen = writer(), Seen()
    rated = []

    def score(prefixes):
        rated.extend(ids for p, ids in zip(prefixes.problem.tolist(), prefixes.ids, strict=True) if p == 0)
        return np.array([1 / (1 + sum(ids)) for ids in prefixes.ids])

    generator = torch.Generator().manual_seed(3)
    counted = Counted(2, seen.propose(of.step(generator)), seen.score(score))
    found = beam(of.start(), counted, 8, 2)
    mine = (found.prefixes.problem == 0).nonzero()[0]
    chosen = found.prefixes.ids[mine[last(found.scores)[mine].argmax()]]
    drawn = tree(seen, chosen, "A beam", of, generator)
    assert seen.tokens == counted.generated[0] == drawn.budgets[-1]
    assert sum(step.times for step in drawn.steps) == len(rated)
    assert len(drawn.steps) == len(set(rated))
    # From its end back to the beginning, the answer that was given is its steps.
    number, text = drawn.chosen, ""
    while number >= 0:
        text, number = drawn.steps[number].text + text, drawn.steps[number].parent
    assert text == of.task.vocabulary.decode(chosen).removesuffix("<eos>")


def test_a_step_is_worth_its_chance_to_end_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.core.search.model.drawn.ROLLOUTS", 4000)
    of, seen = writer(("a",)), Seen()
    first = of.start().rows(np.array([0]))
    prefix = first.__class__(first.problem, ((2, END),), np.array([False]))
    seen.score(lambda prefixes: np.array([0.5]))(prefix)
    [step] = tree(seen, (2, END), "One", of, torch.Generator().manual_seed(0)).steps
    exact = enumerated(of, prefix, (of.task.vocabulary.eos,), of.longest)
    decode = of.task.vocabulary.decode
    value = sum(p for ids, p in exact.items() if of.task.is_right(of.problems[0], decode(ids)))
    assert step.value == pytest.approx(value, abs=0.03)
