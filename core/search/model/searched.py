"""What a strategy answers, and how good that is by the rating and in truth."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ...grpo.tasks.problem import final_answer
from ...source_digest import source_digest
from ...trial import Context
from ..choice import aggregated
from ..overoptimisation import misprediction
from ..params import strategy_of
from ..prefixes import Counted, ScoreError
from ..strategy import Found, Sampler, choose, run
from .answers import by_steps, is_right, sound, with_scores
from .drawn import Seen, tree
from .params import Params, scorer_of
from .rl import policy_key
from .scorers import Scorer, Trunk
from .texts import Texts, Writer, of_json, to_json, unique

HELD_OUT = 4
"""Of each test problem so many answers tell how well a rating knows right steps."""
APART = 7_000_003
"""In the seeds of what is drawn here."""
BINS = {"easy": (0, 1), "hard": (2, 3), "hardest": (4,)}
"""Fifths of the problems, the easiest first (Snell et al., arXiv:2408.03314, §3.2)."""
DRAWN = 16
"""Up to this budget the tree of a search can be read."""
FILE = "answers.json"


def searched(
    params: Params, trunk: Trunk, rate: Scorer, writer: Writer, context: Context
) -> dict[str, float]:
    """The metrics of one strategy; see `trial.trial`.

    Raises ScoreError: the scorer gave not one finite number for each prefix, or a negative one for a weighted vote.
    """
    strategy, problems = strategy_of(params), len(writer.problems)
    generator = torch.Generator(context.device).manual_seed(context.seed * 1009 + APART)
    known = _drawn(params, trunk, replace(writer, model=trunk.model), context, "base", 1)

    def score(prefixes: Texts) -> np.ndarray:
        values = rate(writer, prefixes)
        if strategy.choose == "weighted-vote" and (values < 0).any():
            raise ScoreError(f"{scorer_of(params)} gave {values.min():g}, and votes weigh 0 or more")
        return values

    sampler = Sampler(
        writer.step(generator),
        writer.step(None),
        writer.start(),
        lambda answers: _votes(writer, answers),
        lambda answers: is_right(writer, answers),
        float(known.tokens.mean()),
    )
    one, seen = 0.0, None
    if strategy.search == "sample":
        # Whole answers depend on no rating: they are drawn once for all ways to choose among them.
        drawn = _drawn(params, trunk, writer, context, params.sampler, 2)
        one = float(is_right(writer, drawn).mean())
        drawn = drawn.rows((np.arange(len(drawn)) % params.draws < strategy.budget).nonzero()[0])
        counted = Counted(problems, sampler.propose, score if strategy.needs_scores else None)
        np.add.at(counted.generated, drawn.problem, drawn.tokens)
        candidates = with_scores(drawn, writer, counted.score)
        found = Found(candidates, choose(strategy, candidates, sampler, problems), counted)
    else:
        # What lookahead rates are not the prefixes that it keeps.
        if (
            context.seed == params.first_seed
            and strategy.budget <= DRAWN
            and not strategy.ahead
            and strategy.needs_scores
        ):
            seen = Seen()
            found = run(strategy, replace(sampler, propose=seen.propose(sampler.propose)), seen.score(score))
        else:
            found = run(strategy, sampler, score)
    context.sample(0, _said(writer, found))
    if seen is not None and found.chosen[0] >= 0:
        title = f"A search with the tokens of {strategy.budget} answers"
        chosen = found.candidates.prefixes.ids[int(found.chosen[0])]
        context.sample(0, tree(seen, chosen, title, writer, generator))

    given = found.candidates.rows(found.chosen)
    answered = found.chosen >= 0
    right = is_right(writer, given.prefixes) & answered
    counts = found.counted
    metrics = {
        "right": float(right.mean()),
        "generated": float(counts.generated.mean()),
        "scored": float(counts.scored.mean()),
        "tokens": float((counts.generated + counts.scored).mean()),
    }
    metrics |= {f"right/{name}": float(right[which].mean()) for name, which in _bins(writer, known).items()}
    if strategy.search == "sample":
        metrics |= {"one": one, "gain": metrics["right"] - one}
    if trunk.steps is not None:
        metrics["sound"] = float((sound(writer, trunk.steps, given.prefixes) & answered).mean())
    if counts.scorer is not None:
        scores = aggregated(found.candidates, strategy.aggregate)
        metrics["spread"] = float(np.nanstd(found.candidates.scores))
        if strategy.choose == "best":
            metrics["score"] = float(scores[found.chosen].mean())
            metrics["overrated"] = metrics["score"] - metrics["right"]
            if strategy.search == "sample":
                metrics |= _of_rating(trunk, rate, writer, known)
                if strategy.budget >= 16:
                    value = is_right(writer, found.candidates.prefixes).astype(float)
                    metrics["misprediction"] = misprediction(
                        scores.reshape(problems, -1), value.reshape(problems, -1)
                    )
    return metrics


def _drawn(params: Params, trunk: Trunk, writer: Writer, context: Context, of: str, number: int) -> Texts:
    """`draws` answers to each problem, those of one adjacent, from the cache where they are there.

    Args:
        of: base or policy. number: of several independent draws.
    """
    model = policy_key(params, trunk, context) if of == "policy" else trunk.key
    how = [params.draws, params.eval_problems, writer.longest, context.device, number]
    key = json.dumps(["search answers", model, context.seed, how, source_digest(__name__)])

    def make(folder: Path) -> None:
        start = writer.start()
        generator = torch.Generator(context.device).manual_seed(context.seed * 1009 + APART + number)
        answers = writer.whole(start.rows(np.repeat(np.arange(len(start)), params.draws)), generator)
        (folder / FILE).write_text(json.dumps(to_json(answers)))

    return of_json(json.loads((context.cached(key, make) / FILE).read_text()))


def _bins(writer: Writer, known: Texts) -> dict[str, np.ndarray]:
    """The problems of each bin, by how often the base model is right in `known`; equals in their order."""
    share = is_right(writer, known).reshape(len(writer.problems), -1).mean(1)
    fifths = np.array_split(np.argsort(-share, kind="stable"), 5)
    found = {name: np.concatenate([fifths[i] for i in which]) for name, which in BINS.items()}
    return {name: which for name, which in found.items() if len(which)}


def _of_rating(trunk: Trunk, rate: Scorer, writer: Writer, known: Texts) -> dict[str, float]:
    """How good a rating is on answers of the base model to the test problems: `ranks` and `brier`; see `trial.trial`."""
    each = len(known) // len(writer.problems)
    answers = known.rows((np.arange(len(known)) % each < HELD_OUT).nonzero()[0])
    prefixes, _ = unique(by_steps(answers, writer)[0])
    scores, whole = rate(writer, prefixes), prefixes.ended
    truth = is_right(writer, prefixes.rows(whole.nonzero()[0]))
    metrics = {"brier": float(((scores[whole] - truth) ** 2).mean())}
    if trunk.steps is not None:
        right_steps = sound(writer, trunk.steps, prefixes)
        if right_steps.any() and not right_steps.all():
            metrics["ranks"] = ranks(scores, right_steps)
    return metrics


def ranks(scores: np.ndarray, sound: np.ndarray) -> float:
    """The chance that one of the sound (rows,) has a higher score than one of the others, equals counted half."""
    order = np.sort(scores[~sound])
    below = np.searchsorted(order, scores[sound], "left") + np.searchsorted(order, scores[sound], "right")
    return float(below.mean() / 2 / len(order))


def _votes(writer: Writer, answers: Texts) -> list[str | None]:
    """What a vote compares: an answer's end; of right ones the problem's own, as in `grpo.rollout.answers`."""
    right, problems = is_right(writer, answers), writer.problems_of(answers)
    return [
        p.answer if r else final_answer(text)
        for p, text, r in zip(problems, writer.texts(answers), right, strict=True)
    ]


def _said(writer: Writer, found: Found[Texts]) -> str:
    """The answer that is given to the first problem, with what its steps are rated."""
    row = found.candidates.rows(found.chosen[:1])
    scores = row.scores[0][~np.isnan(row.scores[0])]
    rated = "  rated " + " ".join(f"{score:.2f}" for score in scores) if found.counted.scorer else ""
    verdict = "right" if is_right(writer, row.prefixes)[0] else "wrong"
    text = writer.texts(row.prefixes)[0].removesuffix("<eos>")
    return f"{writer.problems[0].prompt} {text}{rated}  {verdict}"
