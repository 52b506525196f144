"""Tasks of reasoning-gym (https://github.com/open-thought/reasoning-gym) by name: `gym/chain_sum`.

The tokens are the printable ASCII characters, and other characters in a sample of questions. The verifier is
reasoning-gym's: an answer is right if it gets the full score. There are no traces: all demonstrations are direct
answers.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ...lm.vocabulary import vocabulary
from ...suggest import did_you_mean
from .demonstration import demonstrations
from .problem import Mixture, Problem, Split, Task, final_answer
from .split import Drawn, draw

if TYPE_CHECKING:
    from numpy.random import Generator

SAMPLE = 200
"""Questions in the sample that gives the characters and the longest lengths."""


def gym(name: str, harder: Mapping[str, Any] | None = None, **config: Any) -> Task:
    """A task of reasoning-gym.

    Questions and answers longer than the longest of the sample, or with other characters, are left out. All have
    difficulty 1.

    Args:
        name: in reasoning-gym.
        harder: changes to `config` for the split "harder"; without it there is no such split.
        config: passed to reasoning-gym.
    Raises:
        ModuleNotFoundError: reasoning-gym is not installed.
        ValueError: reasoning-gym has no such task, or refuses the configuration.
    """
    try:
        package = import_module("reasoning_gym")
    except ModuleNotFoundError as e:
        raise ModuleNotFoundError(
            f"gym/{name} needs the package reasoning-gym ({e}): pip install 'paperlab[tasks]'"
        ) from e
    known = sorted(import_module("reasoning_gym.factory").DATASETS)
    if name not in known:
        hint = did_you_mean(name, known).replace(" mean ", " mean gym/")
        raise ValueError(f"reasoning-gym has no task {name}.{hint} It has {len(known)}")
    configs = {"base": config, "harder": {**config, **(harder or {})}}

    def dataset(split: Split, seed: int, size: int) -> Any:
        try:
            return package.create_dataset(name, seed=seed, size=size, **configs.get(split, config))
        except (TypeError, AssertionError) as e:  # what its dataclasses raise
            raise ValueError(f"gym/{name}: {e}") from e

    splits: tuple[Split, ...] = ("base", "harder") if harder else ("base",)
    sample = [entry for split in splits for entry in dataset(split, 0, SAMPLE)]
    characters = {c for entry in sample for c in entry["question"] + _answer(entry)}
    words = vocabulary(sorted(characters | set(string.printable)))
    longest_prompt = max(len(entry["question"]) for entry in sample)
    longest_answer = max(len(_answer(entry)) for entry in sample)
    # Their verifiers need the whole entry, which a problem does not have.
    entries: dict[str, tuple[Any, Any]] = {}

    def readable(entry: Any) -> bool:
        question, answer = entry["question"], _answer(entry)
        fits = len(question) <= longest_prompt and 0 < len(answer) <= longest_answer
        return fits and not set("<>") & set(answer) and set(question + answer) <= set(words.tokens)

    def candidates(rng: Generator, count: int, split: Split) -> list[Drawn[None]]:
        source = dataset(split, int(rng.integers(2**31)), count)
        made: list[Drawn[None]] = []
        for entry in filter(readable, source):
            entries[entry["question"]] = source, entry
            made.append((Problem(entry["question"], _answer(entry), 1), None))
        return made

    def drawn(rng: Generator, count: int, split: Split) -> list[Drawn[None]]:
        if split == "harder" and not harder:
            raise ValueError(f"gym/{name} has no split harder: say with `harder` what makes it harder")
        return draw(rng, count, split, candidates)

    def problems(rng: Generator, count: int, split: Split) -> list[Problem]:
        return [problem for problem, _ in drawn(rng, count, split)]

    def shown(rng: Generator, count: int, mixture: Mixture) -> list[tuple[Problem, str]]:
        if mixture.long:
            raise ValueError(f"gym/{name} has no traces to show: set the share `long` to 0")
        chosen = drawn(rng, count, "base")
        return demonstrations(
            rng,
            chosen,
            mixture,
            steps=0,
            values=1,
            trace=lambda parts, wrong, leap: ("", ""),  # never called: no answer is long
            guess=lambda _, random: chosen[random % len(chosen)][0].answer,
        )

    def is_right(problem: Problem, completion: str) -> bool:
        answer = final_answer(completion)
        if answer is None or problem.prompt not in entries:
            return answer is not None and answer == problem.answer
        source, entry = entries[problem.prompt]
        try:
            return bool(source.score_answer(answer=answer, entry=entry) >= 1)
        except Exception:  # their parsers raise anything on text that they cannot read
            return False

    return Task(
        name=f"gym/{name}",
        vocabulary=words,
        problems=problems,
        demonstrations=shown,
        is_right=is_right,
        longest_prompt=longest_prompt,
        longest_completion=2 * longest_answer + 3,  # untagged, a direct answer stands there twice
        classes=None,
        has_harder=bool(harder),
    )


def _answer(entry: Mapping[str, Any]) -> str:
    return str(entry["answer"])
