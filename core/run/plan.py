"""From an experiment to its trials: what will be run, under which names, in which order."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..experiment.absolute_paths import files, with_absolute_paths
from ..experiment.load import Loaded
from ..experiment.schema import Point
from ..own_files import digest
from .folder import peaks_key

Kind = Literal["compile", "products", "peaks", "check", "time", "train"]


@dataclass(frozen=True)
class Trial:
    """One piece of work in one process.

    A check has one variant and no replicate, a training trial one variant and a seed, a timing trial all variants of
    a point at once (`variant` is empty) and a repeat. `peaks` measures what the machine can do at best: all of it before the
    first repeat, and the FMA peak again after each, whose number is the replicate. Two are in no plan and leave no result:
    `compile` prepares kernels, its variant is the word of those that belong together; `products` measures what multiplies
    fastest.
    """

    kind: Kind
    variant: str
    point: Mapping[str, Any]
    replicate: int
    key: str  # the name of its folder

    def __str__(self) -> str:
        point = " ".join(f"{axis}={value}" for axis, value in self.point.items())
        return " ".join(part for part in (self.variant, point) if part) or self.kind


def points(loaded: Loaded) -> list[Point]:
    """The grid of `axes`, each point with a value for every key that `checks` sweeps as well."""
    experiment = loaded.experiment
    # A key that only checks sweep has the value of `params` elsewhere.
    fixed = {
        key: experiment.params[key]
        for key in experiment.point_keys
        if key not in experiment.axes and key in experiment.params
    }
    return [point | fixed for point in _product(experiment.axes)]


def check_points(loaded: Loaded) -> list[Point]:
    """The timed points and those of the grids of `checks`.

    What a grid does not name stays as it is when timed; an axis at its first value.
    """
    experiment = loaded.experiment
    found = points(loaded)
    still = found[0] | {axis: values[0] for axis, values in experiment.axes.items()}
    found += [still | part for grid in experiment.checks for part in _product(grid)]
    different: dict[object, Point] = {}
    for point in found:
        different.setdefault(tuple(sorted(point.items())), point)
    return list(different.values())


def _product(axes: Mapping[str, list[Any]]) -> list[Point]:
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def plan(loaded: Loaded) -> list[Trial]:
    """All trials in the order in which they start: whenever a run stops, its variants have equally many."""
    experiment = loaded.experiment
    if not loaded.subject.is_timing:
        return [
            _trial(loaded, "train", variant, point, seed)
            for seed in range(experiment.replicates)
            for point in points(loaded)
            for variant in experiment.variants
            if experiment.runs_at(variant, point)
        ]
    checks = [
        _trial(loaded, "check", variant, point, 0)
        for point in check_points(loaded)
        for variant in experiment.variants
    ]
    timed = [_peaks(0)]
    for repeat in range(experiment.replicates):
        timed += [_trial(loaded, "time", "", point, repeat) for point in points(loaded)]
        timed.append(_peaks(repeat + 1))
    return [*checks, *timed]


def _peaks(repeats: int) -> Trial:
    """The peaks after so many repeats."""
    return Trial("peaks", "", {}, repeats, peaks_key(repeats))


def seeds_abreast(trials: Sequence[Trial], workers: int) -> list[Trial]:
    """The same trials, with as many seeds under way as there are workers.

    Trials of one seed share what is made once, such as a base model, and would wait for it together.
    """
    of_seed: dict[int, list[Trial]] = {}
    for trial in trials:
        of_seed.setdefault(trial.replicate, []).append(trial)
    seeds, ordered = list(of_seed.values()), []
    for first in range(0, len(seeds), workers):
        for row in itertools.zip_longest(*seeds[first : first + workers]):
            ordered += [trial for trial in row if trial is not None]
    return ordered


def params_of(loaded: Loaded, variant: str, point: Mapping[str, Any]) -> dict[str, Any]:
    """Params of one variant at one point: `params`, then the variant, then the point; files by absolute paths."""
    experiment, fields = loaded.experiment, loaded.subject.params.model_fields
    values = {**experiment.params, **experiment.variants[variant].params, **point}
    if "implementation" in fields and "implementation" not in values:
        values["implementation"] = variant
    return with_absolute_paths(loaded.subject.params, values, loaded.folder)


def references(loaded: Loaded) -> dict[str, str]:
    """Files and folders of the user's that this experiment uses, with their digests."""
    experiment = loaded.experiment
    changes = [experiment.params, *(variant.params for variant in experiment.variants.values())]
    changes += [{axis: value} for axis, values in experiment.axes.items() for value in values]
    found = {path for values in changes for path in files(loaded.subject.params, values, loaded.folder)}
    if experiment.trial.endswith(".py"):
        found.add(loaded.subject.file)
    return {str(path): digest(path) for path in sorted(found)}


def _trial(loaded: Loaded, kind: Kind, variant: str, point: Point, replicate: int) -> Trial:
    return Trial(kind, variant, point, replicate, key_of(kind, variant, point, replicate))


def key_of(kind: str, variant: str, point: Mapping[str, Any], replicate: int) -> str:
    """The name of a trial's folder: readable, and different for different trials."""
    name = ".".join([kind, *([variant] if variant else []), *(f"{k}={v}" for k, v in point.items())])
    if kind != "check":
        name += f".{replicate}"
    key = re.sub(r"[^\w.=+-]", "_", name)
    if key != name or len(key) > 100:  # two names must not fall into one folder
        key = f"{key[:100]}.{hashlib.sha256(json.dumps([name, dict(point)], default=str).encode()).hexdigest()[:8]}"
    return key
