"""The schema of an experiment file: every key, its type and its meaning.

`lab validate --schema` prints this as JSON Schema, so an editor completes the keys and shows these descriptions.
`checks.py` checks keys against each other (a claim names a declared metric, …).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

Scalar = bool | int | float | str
Point = dict[str, Scalar]  # one value per axis


def point_words(point: Mapping[str, Any]) -> str:
    """`columns=1000, rows=64`; a key without a value is left out."""
    return ", ".join(f"{key}={value}" for key, value in point.items() if value is not None)


OVER = {
    "ratio": "variant to divide by",
    "difference": "variant to subtract",
    "deviation": "prediction to subtract",
    "exponent": "axis",
    "trend": "axis",
}
AGAIN = " again"  # the second turn of a tier's first, in one timing process: the A/A control; no name holds a space
# Computed from times, work and the machine's peaks: their ratios repeat those of times.
ROOF = "copy_roof"  # from memory; of each cache `copy_roof_l1`, `copy_roof_l2`, …
RATES = (
    "bandwidth", "throughput", "of_peak", "peak", "time_at_peak", ROOF, *(f"{ROOF}_l{level}" for level in (1, 2, 3, 4)),
)  # fmt: skip
OVER_BASELINE = " / baseline"  # behind the metric of a plot's y
MEASURES = ("value", "ratio", "difference", "deviation", "exponent", "trend", "order")


class Part(BaseModel):
    """A part of an experiment file: fixed keys, nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Source(Part):
    """Where a claim comes from."""

    title: str
    ref: str = Field("", description="arXiv:1805.02867, a DOI or an address")


def _listed(value: object) -> object:
    return value if isinstance(value, list) else [value]


class Variant(BaseModel):
    """One of the things compared: what it changes in `params`, and the tier it is timed in."""

    model_config = ConfigDict(extra="allow", frozen=True)

    tier: str = Field(
        "",
        description="times are compared inside a tier only; `reference` is to be read and never ranked by time",
    )
    needs: str = Field(
        "",
        description="a Python package; where it is not installed the variant is left out, unless --variants names it",
    )
    group: str = Field(
        "",
        description="a heading in tables, above this and all others of that group; figures are compared across groups",
    )
    only: dict[str, Annotated[list[Scalar], BeforeValidator(_listed)]] = Field(
        {},
        description="the values of an axis at which it is trained, `{long: 0.25}`; all of them where it is left out, or where "
        "the axis has none of these",
    )

    @property
    def params(self) -> dict[str, Any]:
        return dict(self.__pydantic_extra__ or {})


class Gap(Part):
    """A share that is taken of three variants' figures, in percent: (zero − this one) / (zero − whole), seed by seed."""

    of: str = Field(description="a metric")
    zero: str = Field(description="the variant that is at 0%")
    whole: str = Field(description="the variant that is at 100%")


class Alarm(Part):
    """Where a figure means that the experiment is not what it should be: a note beside the results."""

    below: float = Field(description="a variant whose mean is below it is named in the note")
    says: str = Field(description="what that means, and what to do about it")


class Metric(Part):
    """A column of the results."""

    unit: str = Field(
        "", description="time: s, ms, us; memory: B, KB, MB, GB; anything else is printed as it is"
    )
    better: Literal["lower", "higher"] | None = None
    kind: Literal["counted", "timed", "trained"] = Field(
        description="counted: no clock, no noise; timed: by a clock; trained: varies with the seed"
    )
    says: str = Field("", description="what the number means, in one line")
    label: str = Field("", description="a short heading for tables; the metric's name where it is left out")
    range: tuple[float, float] | None = Field(
        None,
        description="the least and the greatest value it can take, where unit and kind do not say so: `[0, 1]` for a share",
    )
    out_of: Annotated[int, Field(ge=1)] | str | None = Field(
        None,
        description="a proportion of so many distinct prompts (a number, or the metric that counts them seed by seed): "
        "its interval when all seeds agree",
    )
    gap: Gap | None = Field(
        None,
        description="no trial measures it: how far each variant is on the way from one to another, in percent",
    )
    alarm: Alarm | None = None

    @model_validator(mode="after")
    def _has_a_range(self) -> Self:
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError(f"range: nothing lies between {self.range[0]:g} and {self.range[1]:g}")
        return self


def _one_or_many(value: object) -> object:
    return [value] if isinstance(value, str | dict) else value


class Shade(Part):
    """A stretch of a plot's x that is tinted: the lengths that were trained."""

    between: tuple[float | str, float | str] = Field(
        description="both ends; figures, or closed forms of what stands in `params`: `[1, length]`"
    )
    label: str = Field("trained", max_length=30, description="what stands above it")

    @field_validator("between", mode="before")
    @classmethod
    def _has_two_ends(cls, value: object) -> object:
        ends = value if isinstance(value, list | tuple) else ()
        if len(ends) != 2 or not all(isinstance(end, int | float | str) for end in ends):
            raise ValueError(f"between has two ends, `[1, 16]`; not {value!r:.40}")
        return value


class Plot(Part):
    """A figure of the run."""

    x: str = Field(
        description="an axis, `variant`, `step` of a training experiment, or a metric: then a line runs over the axis "
        "that `where` leaves open, or, with `over: step`, over the steps at which trials record it"
    )
    y: str = Field(
        description="a metric, or `METRIC / baseline`: its ratio to the tier's first variant, of a time drawn as the speed "
        "that tables show; with `difference` an axis"
    )
    difference: str | None = Field(
        None,
        description="METRIC of `of` minus METRIC of `over` at each point of the axes x and y, and the line where both are "
        "equal",
    )
    of: str | None = Field(None, description="the variant whose difference is drawn")
    over: str | None = Field(
        None, description="`step`, where x is a recorded metric; with `difference` the variant to subtract"
    )
    hue: str = "variant"
    scale: Literal["linear", "log-x", "log-y", "log-log"] = "linear"
    where: Point = {}
    variants: list[str] = Field([], description="only these; all when left out")
    limit: Annotated[list[str], BeforeValidator(_one_or_many)] = Field(
        [],
        description="metrics that bound y, drawn dashed: `time_at_peak` for times, `peak` for rates; of several, as "
        "`[peak, copy_roof, copy_roof_l2]` for a roofline, the first where it is below another, the others where below the first",
    )
    shade: Shade | None = Field(None, description="a stretch of x that is tinted, where x is of numbers")
    title: str = ""

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        unused = [] if not self.limit or "step" not in (self.x, self.over) else ["limit"]
        if self.difference is not None:
            if self.of is None or self.over is None:
                raise ValueError("difference needs `of` and `over`: the variant, and the variant to subtract")
            unused = [name for name in ("hue", "variants", "limit", "shade") if name in self.model_fields_set]
        elif self.of is not None:
            raise ValueError("`of` belongs to `difference`")
        elif self.over not in (None, "step"):
            raise ValueError(f"over is `step`, or with `difference` a variant; not {self.over}")
        if unused:
            kind = "a plane of two axes" if self.difference else "a curve over steps"
            raise ValueError(f"{kind} has no use for `{unused[0]}`")
        return self

    @property
    def metric(self) -> str:
        """The metric whose values it shows."""
        return self.difference or self.y.removesuffix(OVER_BASELINE)

    @property
    def is_curve(self) -> bool:
        """Whether its lines run over the steps of trainings."""
        return self.difference is None and "step" in (self.x, self.over)


class Prediction(Part):
    """A figure stated before the run, drawn dashed beside what is seen; the measure `deviation` of a claim judges it."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    says: str
    metric: str = Field(description="what it predicts")
    of: Annotated[list[str], BeforeValidator(_one_or_many)] = Field(
        [], description="the variants that it is about; all where it is left out"
    )
    value: float | str = Field(
        description="a figure, or a closed form of what stands in `params`, `axes` and the variant: numbers, names, "
        "`name[0]` for an entry of a list, + - * / ^, exp, log, sqrt, min, max"
    )


class Measure(Part):
    """What of the results a claim is about: one of `value`, `ratio`, `difference`, `deviation`, `exponent`, `trend`,
    `order`."""

    value: str | None = Field(None, description="METRIC, of one variant")
    ratio: str | None = Field(None, description="METRIC of `of` divided by METRIC of `over`")
    difference: str | None = Field(
        None, description="METRIC of `of` minus METRIC of `over`, a control or another variant"
    )
    deviation: str | None = Field(
        None, description="METRIC of `of` minus what the prediction `over` says it is"
    )
    exponent: str | None = Field(None, description="slope of METRIC against the axis `over`, in log-log")
    trend: str | None = Field(
        None, description="rank correlation of METRIC with the axis `over`, or with `step`"
    )
    order: str | None = Field(
        None, description="METRIC of several variants, in the order that `expect` states"
    )
    of: Annotated[list[str], BeforeValidator(_one_or_many)] = Field(
        description="a variant; for `order` a list of them"
    )
    over: str | None = Field(
        None,
        description="the variant to divide by or to subtract; the prediction; the axis of exponent and trend",
    )
    where: Point = Field(
        {}, description="the point: a value for each axis; `max` and `min` name the ends of an axis"
    )

    @model_validator(mode="after")
    def _is_one_measure(self) -> Self:
        named = [name for name in MEASURES if getattr(self, name) is not None]
        if len(named) != 1:
            said = "none" if not named else " and ".join(named)
            raise ValueError(f"a measure is exactly one of {', '.join(MEASURES)}; here: {said}")
        kind = named[0]
        if kind in OVER and self.over is None:
            raise ValueError(f"{kind} needs `over`: the {OVER[kind]}")
        if kind not in OVER and self.over is not None:
            raise ValueError(f"{kind} has no use for `over`")
        if kind == "order" and len(self.of) < 2:
            raise ValueError("order needs at least two variants in `of`")
        if kind != "order" and len(self.of) != 1:
            raise ValueError(f"{kind} takes one variant in `of`")
        return self

    @property
    def kind(self) -> str:
        return next(name for name in MEASURES if getattr(self, name) is not None)

    @property
    def metric(self) -> str:
        name: str = getattr(self, self.kind)
        return name

    @property
    def variants(self) -> list[str]:
        return self.of + ([self.over] if self.over and self.kind in ("ratio", "difference") else [])

    @property
    def axis(self) -> str | None:
        return self.over if self.kind in ("exponent", "trend") else None


class Expect(Part):
    """The region in which the claim is borne out."""

    at_least: float | None = None
    at_most: float | None = None
    between: tuple[float, float] | None = Field(
        None, description="both ends belong to it; also an equivalence margin"
    )
    order: Literal["increasing", "decreasing"] | None = Field(None, description="for the measure `order`")

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        given = [
            name for name in ("at_least", "at_most", "between", "order") if getattr(self, name) is not None
        ]
        if not given:
            raise ValueError("expect says nothing; give at_least, at_most, between or order")
        if len(given) > 1 and given != ["at_least", "at_most"]:
            raise ValueError(
                f"expect takes one of at_least, at_most, between, order; here: {' and '.join(given)}"
            )
        low, high = self.region
        if math.isnan(low) or math.isnan(high):
            raise ValueError("expect cannot be met: a bound is not a number")
        if low > high:
            raise ValueError(f"expect cannot be met: nothing lies between {low:g} and {high:g}")
        return self

    @property
    def region(self) -> tuple[float, float]:
        """Lowest and highest accepted value."""
        if self.between is not None:
            return self.between
        low = -math.inf if self.at_least is None else self.at_least
        return low, math.inf if self.at_most is None else self.at_most


class Needs(Part):
    """What the variants of a claim must reach before it is judged: one that has not learnt its task in range says nothing of
    what lies beyond."""

    metric: str
    at_least: float | None = Field(None, allow_inf_nan=False)
    at_most: float | None = Field(None, allow_inf_nan=False)
    of: Annotated[list[str], BeforeValidator(_one_or_many)] = Field(
        [], description="of the measure's variants only these; all where it is left out"
    )
    where: Point = Field(
        {}, description="where it is reached, laid over the point of the measure: `{length: 16}`"
    )

    @model_validator(mode="after")
    def _has_one_bound(self) -> Self:
        if (self.at_least is None) == (self.at_most is None):
            said = "none" if self.at_least is None else "both"
            raise ValueError(f"needs takes one of at_least, at_most; here: {said}")
        return self

    @property
    def region(self) -> tuple[float, float]:
        """Lowest and highest value that is enough."""
        low = -math.inf if self.at_least is None else self.at_least
        return low, math.inf if self.at_most is None else self.at_most

    @property
    def words(self) -> str:
        """`right of alibi at least 0.95 at length=16`."""
        of = f" of {' and '.join(self.of)}" if self.of else ""
        bound = f"at most {self.at_most:.10g}" if self.at_least is None else f"at least {self.at_least:.10g}"
        return f"{self.metric}{of} {bound}" + (f" at {point_words(self.where)}" if self.where else "")


class Claim(Part):
    """What a source says, where it says so, and the check that decides whether it holds here."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    says: str
    source: str = Field(description="a key of `sources` and the place: `milakov2018, §3`; or `ours`")
    paper: float | str | None = Field(None, description="the figure the source gives")
    against: str | None = Field(
        None,
        description="the variant that the source compares with, where that is not the file's `baseline`; "
        "the measure then has it in `of` or `over`",
    )
    measure: Measure
    expect: Expect
    needs: Needs | None = Field(
        None,
        description="what its variants must reach first, `{metric: right, at_least: 0.95, where: {length: 16}}`; else there is "
        "no verdict, but `not trained enough`",
    )
    threshold: Literal["ours", "paper", "arithmetic"] = Field(
        "ours", description="who set the bounds of `expect`"
    )
    setting: dict[str, Scalar] = Field(
        {},
        description="where the source saw it: device, dtype, rows, … A claim made for `device: cuda` is neither borne "
        "out nor refuted on a CPU",
    )
    note: str = Field("", description="printed where the verdict stands: what is built into a toy")


Values = Annotated[list[Scalar], Field(min_length=1)]
Grid = dict[str, Values]  # all combinations of the values of its keys


class Preset(Part):
    """What a preset changes: mappings are merged (null removes an entry), lists replaced."""

    params: dict[str, Any] = {}
    axes: dict[str, list[Scalar] | None] = {}
    checks: dict[str, list[Scalar] | None] | list[Grid] = {}
    variants: dict[str, dict[str, Any] | None] = {}
    repeats: int | None = Field(None, ge=1)
    seeds: int | None = Field(None, ge=1)
    sample_seconds: float | None = Field(None, gt=0, allow_inf_nan=False)
    timeout: float | None = Field(None, gt=0, allow_inf_nan=False)


class Experiment(Part):
    """One experiment: a question, its sources, what varies, what is measured, what is claimed."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str
    question: str
    takes: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="seconds that all of it takes, about, on two cores that multiply matrices at 93 GFLOP/s each; `lab` says "
        "what that comes to on another machine",
    )
    sources: dict[str, Source] = {}
    version: int = Field(
        1, ge=1, description="raised when the meaning of its numbers changes; versions are never mixed"
    )
    trial: str = Field(
        description="a folder below core/ (`softmax`, `distill/bias`), or a file of yours (`./my_trial.py`)"
    )
    params: dict[str, Any] = {}
    axes: dict[str, Values] = Field({}, description="parameters that are swept, each with its values")
    checks: Annotated[list[Grid], BeforeValidator(_one_or_many)] = Field(
        [],
        description="one more grid, or a list of them, of parameters where only correctness and counts are taken and "
        "nothing is timed",
    )
    variants: dict[str, Variant] = Field(min_length=1)
    baseline: str
    repeats: int | None = Field(None, ge=1, description="timing experiments: processes per point")
    seeds: int | None = Field(None, ge=1, description="training experiments: seeds per variant and point")
    holds_for: str = Field(
        "",
        description="what verdicts are limited to, printed beside them: `these two teachers`, where replicates do not "
        "vary all that a claim speaks of",
    )
    sample_seconds: float = Field(
        1.0, gt=0, allow_inf_nan=False, description="how long one timing process samples"
    )
    timeout: float = Field(
        120.0, gt=0, allow_inf_nan=False, description="seconds after which a trial is stopped and recorded so"
    )
    presets: dict[str, Preset] = {}
    metrics: dict[str, Metric] = Field(min_length=1)
    plots: list[Plot] = []
    predictions: list[Prediction] = []
    claims: list[Claim] = []
    headline: Point = Field(
        {}, description="the point of the last screen's table: the largest of each axis that is left out"
    )
    summary: str = ""

    @model_validator(mode="after")
    def _is_timing_or_training(self) -> Self:
        if (self.repeats is None) == (self.seeds is None):
            raise ValueError("say either `repeats` (a timing experiment) or `seeds` (a training experiment)")
        return self

    @property
    def noun(self) -> str:
        """What a replicate is called: seed or repeat."""
        return "seed" if self.seeds is not None else "repeat"

    @property
    def replicates(self) -> int:
        return self.repeats or self.seeds or 1

    @property
    def checked(self) -> dict[str, list[Scalar]]:
        """Every key that `checks` sweeps, with its values in all grids."""
        found: dict[str, list[Scalar]] = {}
        for grid in self.checks:
            for key, values in grid.items():
                found[key] = list(dict.fromkeys([*found.get(key, []), *values]))
        return found

    @property
    def point_keys(self) -> list[str]:
        """What a point has a value for: every axis, then what only `checks` sweeps."""
        return list(dict.fromkeys([*self.axes, *self.checked]))

    def values_of(self, key: str) -> list[Scalar]:
        """The values of an axis, or of a key that only `checks` sweeps; none for another."""
        return list(self.axes.get(key) or self.checked.get(key, []))

    def runs_at(self, variant: str, point: Mapping[str, Any]) -> bool:
        """Whether a variant is trained at a point; see `Variant.only`."""
        return all(
            point.get(axis) in values or not set(values) & set(self.axes.get(axis, []))
            for axis, values in self.variants[variant].only.items()
        )

    @property
    def tiers(self) -> dict[str, list[str]]:
        """The variants of each tier, in the order of the file; the baseline leads its own."""
        grouped: dict[str, list[str]] = {}
        for name, variant in self.variants.items():
            grouped.setdefault(variant.tier, []).append(name)
        for names in grouped.values():
            names.sort(key=lambda name: name != self.baseline)
        return grouped

    def groups(self, variants: list[str]) -> dict[str, list[str]]:
        """Some variants by their headings."""
        grouped: dict[str, list[str]] = {}
        for name in variants:
            grouped.setdefault(self.variants[name].group, []).append(name)
        return grouped

    def baseline_of(self, variant: str) -> str | None:
        """The variant whose figures this one's are divided by: its tier's first; None in the tier `reference`."""
        tier = self.variants[variant].tier
        return None if tier == "reference" else self.tiers[tier][0]
