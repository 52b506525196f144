"""Answers by their steps: the prefixes that they consist of, whether they are right, what their steps are rated."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..choice import aggregated
from ..prefixes import Candidates
from .steps import Steps
from .texts import Texts, Writer, unique


def by_steps(answers: Texts, writer: Writer) -> tuple[Texts, np.ndarray]:
    """Every prefix of answers that ends where a step does, answer by answer, and of each the row of its answer."""
    cuts = [writer.steps_of(ids) for ids in answers.ids]
    row = np.repeat(np.arange(len(answers)), [len(each) for each in cuts])
    ids = tuple(answers.ids[i][:cut] for i, each in enumerate(cuts) for cut in each)
    whole = np.array([cut == each[-1] for each in cuts for cut in each], dtype=bool)
    return Texts(answers.problem[row], ids, whole), row


def is_right(writer: Writer, answers: Texts) -> np.ndarray:
    """(rows,), whether the task's verifier accepts each."""
    distinct, index = unique(answers)
    pairs = zip(writer.problems_of(distinct), writer.texts(distinct), strict=True)
    found: np.ndarray = np.array(
        [writer.task.is_right(problem, text) for problem, text in pairs], dtype=bool
    )[index]
    return found


def sound(writer: Writer, steps: Steps, prefixes: Texts) -> np.ndarray:
    """(rows,), whether all steps of each are right."""
    distinct, index = unique(prefixes)
    pairs = zip(writer.problems_of(distinct), writer.texts(distinct), strict=True)
    found: np.ndarray = np.array(
        [steps.first_wrong(problem, text) is None for problem, text in pairs], dtype=bool
    )[index]
    return found


def with_scores(
    answers: Texts, writer: Writer, score: Callable[[Texts, np.ndarray], np.ndarray]
) -> Candidates[Texts]:
    """Answers with what each of their steps is rated.

    Args:
        score: of prefixes, and of each the tokens before its last step, to a number for each.
    """
    prefixes, row = by_steps(answers, writer)
    new = np.r_[True, row[1:] != row[:-1]]
    begins = new.nonzero()[0]
    place = np.arange(len(row)) - np.repeat(begins, np.diff(np.r_[begins, len(row)]))
    scores = np.full((len(answers), int(place.max()) + 1), np.nan)
    scores[row, place] = score(prefixes, np.where(new, 0, np.r_[0, prefixes.tokens[:-1]]))
    return Candidates(answers, scores)


def answer_scores(
    rate: Callable[[Writer, Texts], np.ndarray], writer: Writer, answers: Texts, aggregate: str
) -> np.ndarray:
    """What whole answers are rated, (rows,)."""
    return aggregated(with_scores(answers, writer, lambda prefixes, _: rate(writer, prefixes)), aggregate)
