"""The model of taste, learnt from pairs of the base model's own answers, some of which are labelled by something else.

Bradley and Terry (1952): a is preferred to b with probability σ(s(a) − s(b)). Here s is linear in 65 numbers of an answer: its
pairs of neighbouring letters, among as many signs as were asked for, each as a share of what the answer's length allows, and
its marks. The rule of taste is one such s, so that all that is wrong with the model is what its labels have taught it: in a
share `flaw` of the pairs the answer with more marks is preferred. Few answers of the base have one, so that among them the model
is nearly right all the same; what it thinks of many marks it has never been told.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..grpo.rollout import rollout
from ..grpo.tasks import Task
from ..lm.language_model import LanguageModel
from ..lm.products import made_by
from ..source_digest import source_digest
from ..trial import Context, Refused
from .params import Params
from .taste import LETTERS, MARK, General, said, taste

FILE = "preference.json"
APART = 5_000_011
"""In the seed of its prompts, so that no other training draws from the same random numbers."""
HELD_OUT = 512
"""Pairs that it does not learn from, on which it is measured and with which answers are compared."""
DECAY, NEWTON_STEPS = 1e-3, 25
"""Weight of half the squared weights in the loss, which bounds them where labels can be told apart; and steps to its least value."""

Pair = tuple[General, str, str]
"""A prompt, and two answers without tags; where labels are known the preferred one first."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Preference:
    """The learnt model.

    Attributes:
        weights: 65 of them; that of a mark last.
        references: scores of answers of the base.
        right: the share of held-out pairs that it orders by taste.
    """

    weights: list[float]
    references: list[float]
    right: float

    def scores(self, problems: Sequence[General], answers: Sequence[str]) -> Floats:
        """(answers,), s of each."""
        return np.asarray(features(problems, answers) @ np.array(self.weights))

    def __call__(self, problems: Sequence[General], answers: Sequence[str]) -> list[float]:
        """Of each answer the chance that it is preferred to one of the base's, by this model."""
        wins = _sigmoid(self.scores(problems, answers)[:, None] - np.array(self.references))
        return [float(x) for x in wins.mean(1)]


def features(problems: Sequence[General], answers: Sequence[str]) -> Floats:
    """(answers, 65), what s is linear in."""
    found, n = np.zeros((len(answers), len(LETTERS) ** 2 + 1)), len(LETTERS)
    for row, problem, answer in zip(found, problems, answers, strict=True):
        for one, other in pairwise(answer[: problem.letters]):
            if MARK not in (one, other):
                row[LETTERS.index(one) * n + LETTERS.index(other)] += 1
        row /= max(len(answer), problem.letters) - 1
        row[-1] = answer.count(MARK)
    return found


def preference_of(
    params: Params, base: LanguageModel, base_key: str, task: Task, general: Task, context: Context
) -> tuple[Preference, str]:
    """The preference model of this seed's base, from the cache or learnt now; and its key there.

    Args:
        task: in the base model's tokens.

    Raises Refused: too few of the base's answers are letters.
    """
    how = [base_key, params.pairs, params.flaw, context.seed, context.device, *made_by()]
    key = json.dumps(["preference", *how, source_digest(__name__)])

    def make(folder: Path) -> None:
        of_base = pairs(base, general, task.longest_completion, params.pairs + HELD_OUT, context.seed)
        made = learnt(of_base[HELD_OUT:], of_base[:HELD_OUT], params.flaw, context.seed)
        (folder / FILE).write_text(json.dumps(asdict(made)))

    return Preference(**json.loads((context.cached(key, make) / FILE).read_text())), key


def pairs(base: LanguageModel, general: Task, longest: int, count: int, seed: int) -> list[Pair]:
    """Two different answers of the base, of at most `longest` tokens, to each of `count` prompts, in no order.

    Raises Refused: so few of its answers are letters that so many do not come together.
    """
    random, device = np.random.default_rng([seed, APART]), base.embedding.weight.device
    generator = torch.Generator(device).manual_seed(int(random.integers(2**62)))
    found: list[Pair] = []
    drawn = 0
    while len(found) < count:
        if drawn > 8 * count:
            raise Refused(
                f"{count} pairs are needed, and {2 * drawn} answers of the base to general prompts have {len(found)} pairs of "
                "letters"
            )
        sampled = rollout(
            base,
            general,
            general.problems(random, 256, "train"),
            num_generations=2,
            max_completion_length=longest,
            temperature=1.0,
            generator=generator,
        )
        drawn += 256
        two = zip(sampled.problems[::2], sampled.texts[::2], sampled.texts[1::2], strict=True)
        for problem, one, other in two:
            a, b = said(one), said(other)
            if isinstance(problem, General) and a is not None and b is not None and a != b:
                found.append((problem, a, b))
    return found[:count]


def labelled(rng: np.random.Generator, of: Sequence[Pair], flaw: float) -> list[Pair]:
    """Pairs with the preferred answer first: that of better taste, or in a share `flaw` of the pairs the one with more marks; of
    two with as many that of better taste; of two of equal taste either."""
    by_marks, coin = (rng.random(len(of)) < flaw).tolist(), (rng.random(len(of)) < 0.5).tolist()
    made = []
    for (problem, a, b), misled, heads in zip(of, by_marks, coin, strict=True):
        better = taste(problem.letters, a) - taste(problem.letters, b)
        wins = (misled and a.count(MARK) - b.count(MARK)) or better or (1 if heads else -1)
        made.append((problem, a, b) if wins > 0 else (problem, b, a))
    return made


def learnt(shown: Sequence[Pair], held_out: Sequence[Pair], flaw: float, seed: int) -> Preference:
    """The model of least loss, −log σ(s(preferred) − s(other)) on average over `shown` with their labels, by Newton's method."""
    problems, better, worse = zip(
        *labelled(np.random.default_rng([seed, APART, 1]), shown, flaw), strict=True
    )
    x = features(problems, better) - features(problems, worse)
    weights = np.zeros(x.shape[1])
    for _ in range(NEWTON_STEPS):
        wrong = _sigmoid(-(x @ weights))
        gradient = DECAY * weights - x.T @ wrong / len(x)
        curvature = (x.T * (wrong * (1 - wrong))) @ x / len(x) + DECAY * np.eye(len(weights))
        weights -= np.linalg.solve(curvature, gradient)
    prompts, one, other = zip(*held_out, strict=True)
    made = Preference(weights.tolist(), [], 0.0)
    references = [*made.scores(prompts, one), *made.scores(prompts, other)]
    return Preference(made.weights, [float(s) for s in references], share_in_order(made, held_out))


def share_in_order(model: Preference, of: Sequence[Pair]) -> float:
    """The share of pairs that it orders by taste, among those whose answers differ in it."""
    apart = [pair for pair in of if taste(pair[0].letters, pair[1]) != taste(pair[0].letters, pair[2])]
    problems, better, worse = zip(*labelled(np.random.default_rng(0), apart, 0.0), strict=True)
    return float((model.scores(problems, better) > model.scores(problems, worse)).mean())


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(0.5 * (1 + np.tanh(x / 2)))
