"""The types of everything in the files of a run.

Files are read long after they were written: by another version, after a crash, a full disk or an editor. Every reader
checks them here: a value of another type makes its file count as damaged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeGuard

from ..experiment.overview import NAME

STATUSES = ("ok", "refused", "timeout", "failed", "wrong")
WIDEST = 2**63  # whole numbers that a table can hold
LONGEST = 3e9  # seconds; a century

Is = Callable[[Any], bool]


def a_text(value: Any) -> bool:
    return isinstance(value, str)


def a_flag(value: Any) -> bool:
    return isinstance(value, bool)


def whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and -WIDEST <= value < WIDEST


def a_count(value: Any) -> bool:
    return whole(value) and value >= 0


def a_number(value: Any) -> bool:
    return whole(value) or isinstance(value, float) and math.isfinite(value)


def a_duration(value: Any) -> bool:
    return a_number(value) and 0 <= value < LONGEST


def a_scalar(value: Any) -> bool:
    return a_text(value) or a_flag(value) or a_number(value)


def a_figure(value: Any) -> bool:
    """A number; or an infinity or NaN, which JSON has as a word."""
    return a_number(value) or isinstance(value, float) or value in ("inf", "-inf", "nan")


def a_moment(value: Any) -> bool:
    """A time with its zone, in ISO's form."""
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        return False


def or_none(test: Is) -> Is:
    return lambda value: value is None or test(value)


def one_of(*words: str) -> Is:
    return lambda value: isinstance(value, str) and value in words


def each(test: Is) -> Is:
    """A mapping to such values."""
    return lambda value: isinstance(value, dict) and all(map(test, value.values()))


def several(test: Is) -> Is:
    """A list of at least one of them."""
    return lambda value: isinstance(value, list) and bool(value) and all(map(test, value))


def anything(value: Any) -> bool:
    return True


def products(value: Any) -> bool:
    """What multiplies, as `measure.fastest_products.record` has it."""
    return isinstance(value, dict) and each(each(each(_a_comparison)))(value.get("threads", {}))


def _a_comparison(value: Any) -> bool:
    if not isinstance(value, dict) or not fits(value, COMPARISON):
        return False
    return value["library"] in {value["default"], *value["faster"]} and {*value["refused"]} <= {
        *value["error"]
    }


COMPARISON: Mapping[str, Is] = {
    "library": a_text,
    "default": a_text,
    "faster": each(a_number),
    "error": each(a_figure),
    "refused": lambda value: value == [] or several(a_text)(value),
}


RUN: Mapping[str, Is] = {
    "experiment": lambda value: a_text(value) and NAME.fullmatch(value) is not None,
    "version": whole,
    "started": a_moment,
    "seconds": a_duration,
    "status": a_text,
    "full": a_flag,
    "preset": or_none(a_text),
    "label": a_text,
    "device": a_text,
    "threads": a_count,
}
ALSO_OF_A_RUN: Mapping[str, Is] = {
    "id": a_text,
    "command": a_text,
    "params": each(anything),
    "counts": each(a_count),
    "files": each(a_text),
    "result": a_text,
    "sessions": a_count,
    "workers": a_count,
    "again": lambda value: isinstance(value, list) and all(map(a_count, value)),
    "own": lambda value: value == [] or several(a_text)(value),
}
TRIAL: Mapping[str, Is] = {
    "kind": one_of("check", "peaks", "time", "train", "products"),
    "variant": a_text,
    "point": each(a_scalar),
    "replicate": a_count,
    "status": one_of(*STATUSES),
    "reason": a_text,
}
ALSO_OF_A_TRIAL: Mapping[str, Is] = {
    "seconds": a_duration,
    "kernel": a_text,
    "memory": lambda value: (
        isinstance(value, dict)
        and all(or_none(a_number)(value.get(key)) for key in ("allocated", "resident"))
        and (value.get("agrees") is not False or None not in (value.get("allocated"), value.get("resident")))
    ),
}
ENDED_WELL: Mapping[str, Mapping[str, Is]] = {  # what is there besides when the status is "ok"
    "check": {"metrics": each(a_figure)},
    "train": {"metrics": each(a_figure)},
    "time": {
        "samples": each(several(lambda value: a_number(value) and value > 0)),
        "work": each(each(a_number)),
    },
    "peaks": {"metrics": each(anything)},
    "products": {"products": products},
}
ENVIRONMENT: Mapping[str, Is] = {"packages": or_none(each(anything)), "products": products}


def fits_tables(data: Any) -> bool:
    """Whether every whole number in it is one that a table can hold."""
    if isinstance(data, dict | list):
        return all(map(fits_tables, data.values() if isinstance(data, dict) else data))
    return whole(data) or not isinstance(data, int) or isinstance(data, bool)


def fits(data: Mapping[str, Any], needed: Mapping[str, Is], also: Mapping[str, Is] | None = None) -> bool:
    """Whether all that is needed is there, and what else may be there is of its type."""
    return all(key in data and test(data[key]) for key, test in needed.items()) and all(
        test(data[key]) for key, test in (also or {}).items() if key in data
    )


def is_run(data: Mapping[str, Any]) -> bool:
    return fits(data, RUN, ALSO_OF_A_RUN)


def is_trial(data: Mapping[str, Any]) -> bool:
    if not fits(data, TRIAL, ALSO_OF_A_TRIAL):
        return False
    return data["status"] != "ok" or fits(data, ENDED_WELL[data["kind"]])


def is_environment(data: Mapping[str, Any]) -> bool:
    return fits(data, {}, ENVIRONMENT)


def figures(record: Mapping[str, Any]) -> tuple[int, dict[str, float]] | None:
    """Step and figures of a line of records.jsonl; None where it is no point of a curve."""
    step = record.get("step")
    if not whole(step) or "sample" in record:
        return None
    return step, {name: float(value) for name, value in record.items() if name != "step" and a_figure(value)}
