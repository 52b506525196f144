"""What an experiment file predicts: a figure for a variant at a point, known before anything runs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import product
from typing import Any

from ..suggest import nearest
from .document import Document
from .formula import Formula, FormulaError, parse
from .mistakes import Mistake
from .schema import Experiment, Prediction, point_words

_parse = lru_cache(maxsize=256)(parse)


def formula(prediction: Prediction) -> Formula:
    """Raises FormulaError: it is none."""
    return _parse(str(prediction.value))


def predicted(
    prediction: Prediction, experiment: Experiment, variant: str, point: Mapping[str, Any]
) -> float:
    """The figure for a variant at a point.

    Args:
        point: a value for each axis that the closed form names; None counts as not given.

    Raises FormulaError: a name has no number there, or an operation gives none.
    """
    given = {axis: value for axis, value in point.items() if value is not None}
    return formula(prediction).value(experiment.params | experiment.variants[variant].params | given)


def prediction_of(experiment: Experiment, metric: str, variant: str) -> Prediction | None:
    """The prediction of a variant's metric, if there is one."""
    return next(
        (
            each
            for each in experiment.predictions
            if each.metric == metric and variant in about(each, experiment)
        ),
        None,
    )


def about(prediction: Prediction, experiment: Experiment) -> list[str]:
    """The variants of a prediction that are in this experiment; a preset may have left some out."""
    return [name for name in experiment.variants if not prediction.of or name in prediction.of]


def digests(experiment: Experiment) -> dict[str, str]:
    """Of each prediction, twelve hexadecimal digits of what it says will be seen: metric, variants, figure."""

    def digest(each: Prediction) -> str:
        said = repr((each.metric, each.of, str(each.value)))
        return hashlib.sha256(said.encode()).hexdigest()[:12]

    return {each.id: digest(each) for each in experiment.predictions}


def name_mistakes(experiment: Experiment, document: Document) -> Iterator[Mistake]:
    """Of a file as written: metrics and variants that it lacks, and what is predicted twice."""
    seen: dict[tuple[str, str], str] = {}
    ids: set[str] = set()
    for index, each in enumerate(experiment.predictions):
        keys = ("predictions", index)
        if each.id in ids:
            yield Mistake(document.position((*keys, "id")), f"a prediction {each.id} stands above already")
        ids.add(each.id)
        if each.metric not in experiment.metrics:
            near = nearest(each.metric, experiment.metrics)
            yield Mistake(document.position((*keys, "metric")), f"no metric {each.metric}.{near}")
        for name in each.of:
            if name not in experiment.variants:
                near = nearest(name, experiment.variants)
                yield Mistake(document.position((*keys, "of")), f"no variant {name}.{near}")
        for name in about(each, experiment):
            if (other := seen.setdefault((each.metric, name), each.id)) != each.id:
                what = f"{each.metric} of {name} is predicted by {other} already"
                yield Mistake(document.position((*keys, "metric")), what)


def value_mistakes(experiment: Experiment, document: Document) -> Iterator[Mistake]:
    """Closed forms that are none, that name what neither `params` nor `axes` gives a number, or that have no figure
    somewhere; the first for each prediction."""
    for index, each in enumerate(experiment.predictions):
        if (error := _first_error(each, experiment)) is not None:
            at, message = error
            yield Mistake(document.inside(("predictions", index, "value"), at), message)


def _first_error(prediction: Prediction, experiment: Experiment) -> tuple[int, str] | None:
    try:
        names = formula(prediction).names()
    except FormulaError as error:
        return error.at, str(error)
    variants = about(prediction, experiment)
    known = {
        *experiment.params,
        *experiment.axes,
        *(key for name in variants for key in experiment.variants[name].params),
    }
    for name, at in names.items():
        if name not in known:
            return at, f"{name} stands neither in `params` nor in `axes`.{nearest(name, known)}"
    swept = {axis: values for axis, values in experiment.axes.items() if axis in names}
    for variant in variants:
        for values in product(*swept.values()):
            point = dict(zip(swept, values, strict=True))
            try:
                predicted(prediction, experiment, variant, point)
            except FormulaError as error:
                where = f", {point_words(point)}" if point else ""
                return error.at, f"{error} ({variant}{where})"
    return None
