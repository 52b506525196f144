"""What differs between two runs besides their figures: code, files, versions, machine, parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path

from ..measure.fastest_products import in_words
from .results import Results

MISSING = "-"


@dataclass(frozen=True)
class Difference:
    """One thing that differs, as text: `torch`, `2.12.0`, `2.13.0`; `-` where a run lacks it."""

    what: str
    before: str
    after: str


def differences(before: Results, after: Results) -> list[Difference]:
    """What a reader has to know before the figures of two runs are laid beside each other."""
    common = before.experiment.variants.keys() & after.experiment.variants.keys()
    pairs = _pairs(_described(before, common), _described(after, common))
    found = [Difference(what, a, b) for what, a, b in pairs if a != b]
    for at, each in enumerate((before, after)):
        if only := ", ".join(name for name in each.experiment.variants if name not in common):
            words = (only, MISSING) if at == 0 else (MISSING, only)
            found.append(Difference(f"variants of {each.run.id} only", *words))
    return found


def _pairs(a: Mapping[str, str], b: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for what in dict.fromkeys([*a, *b]):
        yield what, a.get(what, MISSING), b.get(what, MISSING)


def _described(results: Results, variants: Set[str]) -> dict[str, str]:
    facts, environment, experiment = results.facts, results.environment, results.experiment
    described = {
        "lab's code": facts.get("code"),
        **{Path(name).name: digest for name, digest in facts.get("files", {}).items()},
        **environment.get("packages", {}),
        "python": environment.get("python"),
        "cpu": environment.get("cpu"),
        "gpu": ", ".join(gpu["name"] for gpu in environment.get("gpus") or ()) or None,
        "device": facts.get("device"),
        "threads": facts.get("threads"),
        **in_words(environment.get("products", {})),
        "preset": facts.get("preset") or "full",
        f"{experiment.noun}s": experiment.replicates,
        **{f"axes.{name}": ", ".join(map(str, values)) for name, values in experiment.axes.items()},
        **{f"params.{name}": value for name, value in experiment.params.items()},
        **{
            f"{variant}.{key}": value
            for variant, changed in experiment.variants.items()
            if variant in variants
            for key, value in changed.params.items()
        },
    }
    return {what: str(value) for what, value in described.items() if value is not None}
