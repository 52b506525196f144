"""Checks between the keys of an experiment file. Each check yields mistakes; none stops at the first."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from ..suggest import nearest
from . import possible, shade
from .absolute_paths import BesideTheFile, missing
from .discovery import experiment_files
from .document import Document, Keys, shorten
from .formula import FormulaError
from .mistakes import Mistake
from .predictions import about, name_mistakes, value_mistakes
from .schema import Claim, Experiment, Measure, Needs, Plot, Point
from .shape import plainly
from .subject import Subject
from .summary import parse

COMPARISON = (
    "metric", "tier", "baseline", "kind", "unit",
    "estimate", "low", "high", "n", "spread",
    "ratio", "ratio_low", "ratio_high", "change", "change_low", "change_high",
    "difference", "best", "predicted", "status", "reason", "kernel",
)  # fmt: skip
"""Columns of a comparison beside the variant and the point; see `analysis.comparison.compare`."""
COLUMNS = frozenset(("variant", "replicate", "value", "step", *COMPARISON))
"""Columns of a run's tables, so no names for an axis."""
MOST_TRIALS = 100_000  # each takes about 8 KB of memory, and seconds at best
MOST_COLUMNS = 8  # of a plane, whose cells have their value written in
NAME = re.compile(r"[A-Za-z0-9][\w.+-]*")


def cross_check(experiment: Experiment, document: Document, subject: Subject) -> list[Mistake]:
    """The mistakes between keys of a file that each have the right shape."""
    found: list[Mistake] = []

    def wrong(keys: Keys, message: str) -> None:
        found.append(Mistake(document.position(keys), message))

    other = experiment_files().get(experiment.name)
    if other is not None and os.path.realpath(other) != os.path.realpath(document.path):
        wrong(
            ("name",),
            f"{experiment.name} is the name of another experiment ({shorten(other)}): their runs would mix",
        )
    _check_kind(experiment, subject, wrong)
    if experiment.baseline not in experiment.variants:
        wrong(
            ("baseline",),
            f"no variant {experiment.baseline}.{nearest(experiment.baseline, experiment.variants)}",
        )
    for name, variant in experiment.variants.items():
        here = ("variants", name, "only")
        if variant.only and (subject.is_timing or name == experiment.baseline):
            what = (
                "the baseline is trained everywhere"
                if not subject.is_timing
                else "only is for what is trained"
            )
            wrong(here, what)
        for axis, values in variant.only.items():
            for value in values:
                _check_where({axis: value}, experiment, here, wrong)
    for at, axis, _ in _swept(experiment, document):
        if axis not in experiment.axes and axis not in experiment.params:
            wrong(at, f"{axis} needs a value in `params` too: the one at which things are timed")
    found += grid_mistakes(experiment, document, subject)
    found += name_mistakes(experiment, document)
    for name, metric in experiment.metrics.items():
        if metric.out_of is not None and metric.kind != "trained":
            wrong(("metrics", name, "out_of"), "out_of is for trained proportions")
        if isinstance(metric.out_of, str) and (
            metric.out_of not in experiment.metrics or metric.out_of == name
        ):
            near = nearest(metric.out_of, set(experiment.metrics) - {name})
            wrong(("metrics", name, "out_of"), f"no metric {metric.out_of}.{near}")
        if metric.gap is not None:
            of, here = metric.gap.of, ("metrics", name, "gap")
            if of not in experiment.metrics or of == name:
                wrong((*here, "of"), f"no metric {of}.{nearest(of, set(experiment.metrics) - {name})}")
            _check_names([metric.gap.zero], experiment, (*here, "zero"), wrong)
            _check_names([metric.gap.whole], experiment, (*here, "whole"), wrong)
    for index, plot in enumerate(experiment.plots):
        _check_plot(plot, experiment, ("plots", index), wrong)
    for index, claim in enumerate(experiment.claims):
        _check_claim(claim, index, experiment, wrong)
    _check_where(experiment.headline, experiment, ("headline",), wrong)
    _check_summary(experiment, wrong)
    return found


def _swept(experiment: Experiment, document: Document) -> Iterator[tuple[Keys, str, list[Any]]]:
    """Every key of `axes` and of the grids of `checks`: its position in the file, its name, its values."""
    for axis, values in experiment.axes.items():
        yield ("axes", axis), axis, list(values)
    is_list = isinstance(document.data.get("checks"), list)
    for index, grid in enumerate(experiment.checks):
        for axis, values in grid.items():
            yield ("checks", *([index] if is_list else []), axis), axis, list(values)


def _check_kind(experiment: Experiment, subject: Subject, wrong: Any) -> None:
    if subject.is_timing and experiment.repeats is None:
        wrong(("seeds",), f"{experiment.trial} is timed: say `repeats`, not `seeds`")
    if not subject.is_timing and experiment.seeds is None:
        wrong(("repeats",), f"{experiment.trial} trains: say `seeds`, not `repeats`")


def grid_mistakes(experiment: Experiment, document: Document, subject: Subject) -> Iterator[Mistake]:
    """Mistakes in the grid of trials, of a file or of a resolved one: variants, axes, parameters, their number, and what is
    predicted there."""
    for name in experiment.variants:
        if not NAME.fullmatch(name):
            what = f"a variant's name is letters, digits, - and _; not {name!r}"
            yield Mistake(document.position(("variants", name)), what)
    fields = subject.params.model_fields
    for at, axis, values in _swept(experiment, document):
        position = document.position(at)
        if axis not in fields:
            yield Mistake(position, f"{axis} is no parameter of {experiment.trial}.{nearest(axis, fields)}")
        if axis in COLUMNS:
            yield Mistake(position, f"an axis cannot be called {axis}: the tables have a column of that name")
        if len(set(map(str, values))) < len(values) or len(set(map(_as_number, values))) < len(values):
            yield Mistake(position, f"{axis} names a value twice")
        if any(isinstance(value, float) and math.isnan(value) for value in values):
            yield Mistake(position, f"{axis}: nan is no value of an axis")
        if any(isinstance(value, str) and "\n" in value for value in values):
            yield Mistake(position, f"{axis}: a value of an axis is one line")
    if (count := _trials(experiment, subject)) > MOST_TRIALS:
        count_of = "repeats" if experiment.repeats else "seeds"
        what = f"{count:,} trials are more than a run can hold, {MOST_TRIALS:,}: fewer {count_of}, values or variants"
        yield Mistake(document.position((count_of,)), what)
    else:
        yield from _param_mistakes(experiment, document, subject)
        yield from value_mistakes(experiment, document)


def _as_number(value: Any) -> float | str:
    """The value as a column of floats holds it: 1 and 1.0 are one there, as are whole numbers that a float cannot separate."""
    try:
        return float(value)
    except (ValueError, OverflowError):
        return str(value)


def _trials(experiment: Experiment, subject: Subject) -> int:
    def points(grid: dict[str, list[Any]]) -> int:
        return math.prod(map(len, grid.values()))

    timed, variants = points(experiment.axes), len(experiment.variants)
    if not subject.is_timing:
        return variants * timed * experiment.replicates
    return variants * (timed + sum(map(points, experiment.checks))) + timed * experiment.replicates


def _param_mistakes(experiment: Experiment, document: Document, subject: Subject) -> Iterator[Mistake]:
    """Unknown parameters, values of the wrong type, and files that are not there, in `params`, in each variant and along
    each axis."""
    fields = subject.params.model_fields
    nearby = BesideTheFile(document.folder)
    changes: list[tuple[Keys, dict[str, Any]]] = [(("params",), experiment.params)]
    changes += [(("variants", name), variant.params) for name, variant in experiment.variants.items()]
    for at, axis, values in _swept(experiment, document):
        changes += [((*at, index), {axis: value}) for index, value in enumerate(values) if axis in fields]
    base: dict[str, Any] = {}
    of_params: set[str] = set()  # a mistake in `params` is one of every variant too, and reported once
    for keys, change in changes:
        lacking = dict(missing(subject.params, change, document.folder))
        for way, what in lacking.items():
            yield Mistake(document.position(keys if isinstance(keys[-1], int) else (*keys, *way)), what)
        change = {key: value for key, value in change.items() if key not in {way[0] for way in lacking}}
        # Alone first, then on top of `params`: a validator that looks at two fields needs both.
        try:
            subject.params.model_validate(base | change, context=nearby)
        except ValidationError as error:
            for one in error.errors():
                name = str(one["loc"][0]) if one["loc"] else ""
                if one["type"] == "missing" or (name and name not in change) or one["msg"] in of_params:
                    continue
                if keys == ("params",) and not name:
                    of_params.add(one["msg"])
                around = keys[:-1] if isinstance(keys[-1], int) else keys
                at = keys if isinstance(keys[-1], int) or not name else (*around, name)
                if one["type"] == "extra_forbidden":
                    also = (
                        {*fields, "tier", "group", "needs", "only"} if keys[0] == "variants" else set(fields)
                    )
                    yield Mistake(document.position(at), f"unknown parameter {name}.{nearest(name, also)}")
                else:
                    yield Mistake(document.position(at), f"{name}: {plainly(one)}" if name else plainly(one))
        if keys == ("params",):
            base = {key: value for key, value in change.items() if key in fields}


def _check_names(names: Iterable[str], experiment: Experiment, keys: Keys, wrong: Any) -> None:
    for name in names:
        if name not in experiment.variants:
            wrong(keys, f"no variant {name}.{nearest(name, experiment.variants)}")


def _all_values(experiment: Experiment, axis: str) -> list[Any]:
    """Every value that this axis takes in the file, in `axes`, `checks` or a preset."""
    values = [*experiment.axes.get(axis, []), *experiment.checked.get(axis, [])]
    for preset in experiment.presets.values():
        grids = preset.checks if isinstance(preset.checks, list) else [preset.checks]
        for grid in (preset.axes, *grids):
            values += grid.get(axis) or []
    return values


def _check_where(where: dict[str, Any], experiment: Experiment, keys: Keys, wrong: Any) -> None:
    for axis, value in where.items():
        values = _all_values(experiment, axis)
        if not values:
            wrong((*keys, axis), f"no axis {axis}.{nearest(axis, experiment.point_keys)}")
        elif value not in values and value not in ("max", "min"):
            wrong((*keys, axis), f"{axis} is never {value}.{nearest(str(value), map(str, values))}")


def _check_plot(plot: Plot, experiment: Experiment, keys: Keys, wrong: Any) -> None:
    if plot.metric not in experiment.metrics:
        side = "difference" if plot.difference else "y"
        wrong((*keys, side), f"no metric {plot.metric}.{nearest(plot.metric, experiment.metrics)}")
    _check_where(plot.where, experiment, (*keys, "where"), wrong)
    if plot.difference is not None:
        return _check_plane(plot, experiment, keys, wrong)
    columns = {*experiment.point_keys, *experiment.metrics, "variant", "step"}
    for side in ("x", "hue"):
        if getattr(plot, side) not in columns:
            wrong((*keys, side), f"no axis {getattr(plot, side)}.{nearest(getattr(plot, side), columns)}")
        elif side == "x" and plot.over and plot.x not in experiment.metrics:
            near = nearest(plot.x, experiment.metrics)
            wrong((*keys, side), f"`over: step` needs a metric as x, that trials record; not {plot.x}.{near}")
    if plot.is_curve and experiment.seeds is None:
        wrong((*keys, "over" if plot.over else "x"), "nothing is trained here: there are no steps")
    if plot.is_curve and plot.y != plot.metric:
        wrong((*keys, "y"), f"over steps there is no ratio to the baseline: say `y: {plot.metric}`")
    _check_names(plot.variants, experiment, (*keys, "variants"), wrong)
    if plot.shade is not None:
        if plot.x == "variant" or any(isinstance(x, bool | str) for x in _all_values(experiment, plot.x)):
            wrong((*keys, "shade"), f"a shade lies between two numbers, and {plot.x} has none along x")
        try:
            shade.ends(plot.shade, experiment)
        except FormulaError as error:
            wrong((*keys, "shade", "between"), str(error))
    for bound in plot.limit:
        if bound not in experiment.metrics:
            wrong((*keys, "limit"), f"no metric {bound}.{nearest(bound, experiment.metrics)}")


def _check_plane(plot: Plot, experiment: Experiment, keys: Keys, wrong: Any) -> None:
    for side in ("x", "y"):
        axis = getattr(plot, side)
        if axis not in experiment.axes:
            wrong((*keys, side), f"no axis {axis}.{nearest(axis, experiment.axes)}")
    if plot.x == plot.y:
        wrong((*keys, "y"), f"x is {plot.x} too: a plane has two axes")
    across = _all_values(experiment, plot.x)
    words = [value for value in across if isinstance(value, bool | str)]
    if words:
        wrong((*keys, "x"), f"x of a plane is an axis of numbers; {words[0]!r} belongs on y")
    if (count := len(experiment.axes.get(plot.x, ()))) > MOST_COLUMNS:
        wrong((*keys, "x"), f"{count} values of {plot.x} do not fit: at most {MOST_COLUMNS}, or put it on y")
    for side in ("of", "over"):
        _check_names([str(getattr(plot, side))], experiment, (*keys, side), wrong)
    if plot.of == plot.over:
        wrong((*keys, "over"), f"{plot.of} minus itself is 0 everywhere")
    open_axes = {plot.x, plot.y, *plot.where}
    for axis, values in experiment.axes.items():
        if len(values) > 1 and axis not in open_axes:
            wrong((*keys, "difference"), _where_on(axis, values))


def _where_on(axis: str, values: list[Any]) -> str:
    return f"where on {axis}? It has {len(values)} values: add where: {{{axis}: {values[-1]}}}"


def _check_claim(claim: Claim, index: int, experiment: Experiment, wrong: Any) -> None:
    keys: Keys = ("claims", index)
    measure, metric = claim.measure, experiment.metrics.get(claim.measure.metric)
    if [other.id for other in experiment.claims].index(claim.id) != index:
        wrong((*keys, "id"), f"a claim {claim.id} stands above already")
    if metric is None:
        wrong(
            (*keys, "measure", measure.kind),
            f"no metric {measure.metric}.{nearest(measure.metric, experiment.metrics)}",
        )
    _check_names(measure.of, experiment, (*keys, "measure", "of"), wrong)
    if measure.kind == "deviation":
        _check_prediction(measure, experiment, (*keys, "measure", "over"), wrong)
    elif measure.axis is None:
        _check_names(set(measure.variants) - set(measure.of), experiment, (*keys, "measure", "over"), wrong)
    _check_where(measure.where, experiment, (*keys, "measure", "where"), wrong)
    _check_only(measure.variants, measure.where, measure.axis, experiment, (*keys, "measure"), wrong)
    if claim.needs is not None:
        _check_needs(claim.needs, measure, experiment, (*keys, "needs"), wrong)
    _check_names([claim.against] if claim.against is not None else [], experiment, (*keys, "against"), wrong)
    source = claim.source.split(",")[0].strip()
    if source != "ours" and source not in experiment.sources:
        wrong((*keys, "source"), f"no source {source}.{nearest(source, {*experiment.sources, 'ours'})}")
    if measure.axis is not None and measure.axis not in ("step", *experiment.point_keys, *experiment.params):
        wrong(
            (*keys, "measure", "over"),
            f"no axis {measure.axis}.{nearest(measure.axis, {*experiment.point_keys, 'step'})}",
        )
    for axis, values in experiment.axes.items():
        if len(values) > 1 and axis not in measure.where and axis != measure.axis:
            wrong((*keys, "measure"), _where_on(axis, values))
    for message in _impossible(claim, experiment) if metric is not None else ():
        wrong((*keys, "expect"), message)


def _check_only(
    names: list[str], where: Point, along: str | None, experiment: Experiment, keys: Keys, wrong: Any
) -> None:
    for name in filter(experiment.variants.__contains__, names):
        for axis, values in experiment.variants[name].only.items():
            if axis == along or (axis in where and where[axis] not in values):
                at = ", ".join(map(str, values))
                wrong(keys, f"{name} is trained at {axis} {at} only")


def _check_needs(needs: Needs, measure: Measure, experiment: Experiment, keys: Keys, wrong: Any) -> None:
    metric = experiment.metrics.get(needs.metric)
    if metric is None:
        wrong((*keys, "metric"), f"no metric {needs.metric}.{nearest(needs.metric, experiment.metrics)}")
    else:
        (low, high), (least, most) = needs.region, possible.of_metric(metric)
        if low > most or high < least:
            bound = "at_most" if needs.at_least is None else "at_least"
            wrong((*keys, bound), f"never reached: {needs.metric} lies between {least:g} and {most:g}")
    for name in needs.of:
        if name not in measure.variants:
            wrong((*keys, "of"), f"the measure is not of {name}.{nearest(name, measure.variants)}")
    _check_where(needs.where, experiment, (*keys, "where"), wrong)
    names = [name for name in needs.of or measure.variants if name in measure.variants]
    _check_only(names, needs.where, None, experiment, keys, wrong)
    along = experiment.axes.get(measure.axis or "", [])
    if measure.axis is not None and len(along) > 1 and measure.axis not in needs.where:
        wrong(keys, _where_on(measure.axis, along))


def _check_prediction(measure: Measure, experiment: Experiment, keys: Keys, wrong: Any) -> None:
    predictions = {each.id: each for each in experiment.predictions}
    found = predictions.get(measure.over or "")
    if found is None:
        wrong(keys, f"no prediction {measure.over}.{nearest(measure.over or '', predictions)}")
    elif found.metric != measure.metric:
        wrong(keys, f"{found.id} predicts {found.metric}, not {measure.metric}")
    elif measure.of[0] in experiment.variants and measure.of[0] not in about(found, experiment):
        wrong(keys, f"{found.id} is not about {measure.of[0]}")


def _impossible(claim: Claim, experiment: Experiment) -> Iterator[str]:
    low, high = claim.expect.region
    kind = experiment.metrics[claim.measure.metric].kind
    if (claim.measure.kind == "order") != (claim.expect.order is not None):
        yield "expect cannot be met: `order: increasing` or `decreasing` belongs to the measure `order`, and to no other"
    if claim.measure.kind == "ratio" and high <= 0:
        yield f"expect cannot be met: a ratio is above 0, never at most {high:g}"
    least, most = possible.of_claim(claim, experiment)
    if claim.measure.kind != "ratio" and (low > most or high < least):
        yield f"expect cannot be met: this {claim.measure.kind} lies between {least:g} and {most:g}"
    if kind != "counted" and claim.expect.between is not None and low == high:
        yield f"expect cannot be met: an interval never fits into the single value {low:g}"


def _check_summary(experiment: Experiment, wrong: Any) -> None:
    try:
        pieces = parse(experiment.summary)
    except ValueError as error:
        wrong(("summary",), str(error))
        return
    for piece in pieces:
        for kind, name in piece.names():
            names = {
                "metric": set(experiment.metrics),
                "variant": set(experiment.variants),
                "axis": set(experiment.point_keys),
            }[kind]
            if name not in names:
                wrong(("summary",), f"no {kind} {name}.{nearest(name, names)}")
