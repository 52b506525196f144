"""What rates a prefix, by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...grpo.tasks import Problem, Task
from ...grpo.tasks.chain import structure_of
from ...lm.language_model import LanguageModel
from ...lm.scoring import log_probs
from ...lm.training import examples
from ...own_files import is_reference
from ...source_digest import source_digest
from ...trial import Context
from ..prefixes import checked
from . import labels as made
from .answers import is_right, sound
from .head import Head, Read, fit, read
from .params import Params, scorer_of
from .steps import Steps
from .texts import Texts, Writer, unique

Scorer = Callable[[Writer, Texts], np.ndarray]
"""(the writer, prefixes of its problems) to a number for each, (rows,). Equal prefixes get the same number."""
PARTS = 4
APART = 5_000_011
"""In the seed of the problems that heads learn from."""


@dataclass(frozen=True)
class Trunk:
    """The model whose states a head reads: the base model, whatever is searched.

    Attributes:
        key: what the model depends on, for the cache.
        ends: ids that end a step. steps: reads traces; None where it is not known whether a step is right.
    """

    model: LanguageModel
    task: Task
    key: str
    longest: int
    ends: tuple[int, ...]
    steps: Steps | None


def steps_of(params: Params, task: Task) -> Steps | None:
    """Reads traces, where it is known which steps are right: of the task chain, but for s5."""
    if params.task != "chain" or params.structure == "s5":
        return None
    return Steps(structure_of(params.structure, params.operators or "+"), task.is_right)


def scorer(params: Params, trunk: Trunk, context: Context) -> Scorer:
    """The scorer that the parameters name; a head is trained where the cache lacks it.

    Raises ScoreError, when it is called: it did not give one finite number for each prefix.
    """
    name = scorer_of(params)
    if is_reference(name):
        function, short = context.load(name), Path(name).name
        return _once(lambda writer, prefixes: _of_user(function, short, writer, prefixes))
    if name == "accuracy":
        return _once(lambda writer, prefixes: is_right(writer, prefixes).astype(float))
    if name == "oracle":
        assert trunk.steps is not None
        steps = trunk.steps
        return lambda writer, prefixes: sound(writer, steps, prefixes).astype(float)
    if name == "likelihood":
        return _once(lambda writer, prefixes: _likelihood(trunk, writer, prefixes))
    head = _head(params, name, trunk, context)
    return _once(lambda writer, prefixes: _of_head(head, trunk, writer, prefixes))


def _once(rate: Scorer) -> Scorer:
    """Rates equal prefixes once."""

    def scorer(writer: Writer, prefixes: Texts) -> np.ndarray:
        distinct, index = unique(prefixes)
        found: np.ndarray = rate(writer, distinct)[index]
        return found

    return scorer


def _of_user(function: Callable[..., Any], name: str, writer: Writer, prefixes: Texts) -> np.ndarray:
    texts = writer.texts(prefixes)
    return checked(function(writer.problems_of(prefixes), texts), len(texts), name, lambda i: repr(texts[i]))


@torch.no_grad()
def _likelihood(trunk: Trunk, writer: Writer, prefixes: Texts) -> np.ndarray:
    """The geometric mean of the probabilities of a prefix's tokens."""
    prompts = _prompts(writer, prefixes)
    device = trunk.model.embedding.weight.device
    sequences = examples(list(zip(prompts, prefixes.ids, strict=True)), trunk.task.vocabulary.pad).on(device)
    found = np.empty(len(prefixes))
    for part in sequences.by_length(PARTS):
        some = sequences.rows(part)
        logp, _ = log_probs(trunk.model, some)
        found[part.cpu().numpy()] = (logp.sum(1) / some.lengths).exp().cpu().numpy()
    return found


@torch.no_grad()
def _of_head(head: Head, trunk: Trunk, writer: Writer, prefixes: Texts) -> np.ndarray:
    found: np.ndarray = torch.sigmoid(head(_read(trunk, writer, prefixes)).double()).cpu().numpy()
    return found


def _read(trunk: Trunk, writer: Writer, prefixes: Texts) -> Read:
    return read(trunk.model, _prompts(writer, prefixes), prefixes.ids, trunk.task.vocabulary.pad)


def _prompts(writer: Writer, prefixes: Texts) -> list[list[int]]:
    pairs = zip(writer.prompts(prefixes), prefixes.ids, strict=True)
    return [ids[: len(ids) - len(row)] for ids, row in pairs]


def labels(params: Params, trunk: Trunk, context: Context) -> tuple[made.Labels, str]:
    """The prefixes that all heads of a base model learn from, with their rollouts, and their key in the cache."""
    how = [
        params.head_problems,
        params.head_samples,
        trunk.longest,
        trunk.ends,
        context.device,
        made.ROLLOUTS,
    ]
    key = json.dumps(["search labels", trunk.key, context.seed, how, source_digest(__name__)])

    def make(folder: Path) -> None:
        random = np.random.default_rng([context.seed, APART])
        writer = _writer(trunk, trunk.task.problems(random, params.head_problems, "train"))
        generator = torch.Generator(context.device).manual_seed(int(random.integers(2**62)))
        made.write(folder, made.draw(writer, params.head_samples, generator))

    return made.read(context.cached(key, make)), key


def head_key(params: Params, name: str, labelled: str) -> str:
    """The cache key of a head: what it learns from, and how."""
    return json.dumps(["search head", labelled, name, params.trap, params.head_width, params.head_steps])


def _head(params: Params, name: str, trunk: Trunk, context: Context) -> Head:
    labelled, key = labels(params, trunk, context)

    def make(folder: Path) -> None:
        writer = _writer(trunk, labelled.problems)
        rows, target = made.targets(labelled, name, params.trap, writer, trunk.steps)
        seen = _read(trunk, writer, labelled.prefixes.rows(rows))
        head = fit(seen, target, params.head_width, params.head_steps, context.seed)
        torch.save(head.state_dict(), folder / "head.pt")

    folder = context.cached(head_key(params, name, key), make)
    state = torch.load(folder / "head.pt", map_location=context.device, weights_only=True)
    head = Head(len(state["mean"]), params.head_width).to(context.device)
    head.load_state_dict(state)
    return head


def _writer(trunk: Trunk, problems: Sequence[Problem]) -> Writer:
    return Writer(trunk.model, trunk.task, problems, trunk.longest, trunk.ends)
