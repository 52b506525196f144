"""The parameters of a subject as a person reads them: type, choices, bounds, default, a sentence, and what sets each."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from .schema import Experiment

BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
COUNTS = {1: "one", 2: "two", 3: "three"}
WORDS = {bool: "true or false", int: "whole number", float: "number", str: "text", Path: "file or folder"}


@dataclass(frozen=True)
class Setting:
    """One place that gives a parameter a value.

    Attributes:
        by: where in the experiment file.
        name: of the variant or the preset; empty for the others.
        values: the values of an axis or of checks; one value elsewhere.
    """

    by: Literal["params", "axis", "checks", "variant", "preset"]
    name: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a subject.

    Attributes:
        name: as `-s` takes it: `steps`, or `model.hf` inside of another.
        type: in words, "whole number ≥ 1".
        choices: all values that it may have; empty where they cannot be listed.
        default: None also where a value is required.
        says: its docstring in one line; "" where it has none.
        set_by: in the order in which they take effect, presets last; empty: the default holds.
    """

    name: str
    type: str
    choices: tuple[Any, ...]
    default: Any
    is_required: bool
    says: str
    set_by: tuple[Setting, ...]


def parameters(params: type[BaseModel], experiment: Experiment) -> list[Parameter]:
    """Every parameter, those inside of another behind it, in the order of the class."""
    return list(_parameters(params, experiment, ()))


def _parameters(model: type[BaseModel], experiment: Experiment, way: tuple[str, ...]) -> Iterator[Parameter]:
    for name, field in model.model_fields.items():
        keys = (*way, name)
        yield Parameter(
            ".".join(keys),
            _type(field.annotation, _bounds(field)),
            tuple(choices(field.annotation)),
            None if field.is_required() else field.get_default(call_default_factory=True),
            field.is_required(),
            " ".join((field.description or "").split()),
            tuple(_settings(experiment, keys)),
        )
        for inner in _members(field.annotation):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from _parameters(inner, experiment, keys)


def _members(kind: Any) -> list[Any]:
    """The members of a union, `[kind]` of any other type; None is no member."""
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        return _members(typing.get_args(kind)[0])
    if origin in (typing.Union, types.UnionType):
        return [member for one in typing.get_args(kind) for member in _members(one)]
    return [] if kind is type(None) else [kind]


def choices(kind: Any) -> list[Any]:
    """The values of a union of literals; empty for any other type."""
    members = _members(kind)
    if not all(typing.get_origin(member) is Literal for member in members):
        return []
    return list(dict.fromkeys(value for member in members for value in typing.get_args(member)))


def _type(kind: Any, bounds: str = "") -> str:
    null = ", or null" if type(None) in typing.get_args(kind) else ""
    if found := choices(kind):
        return "one of " + ", ".join(str(value) or '""' for value in found) + null
    return " or ".join(dict.fromkeys(map(_type_of_member, _members(kind)))) + bounds + null


def _type_of_member(kind: Any) -> str:
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return _type(kind)
    if origin is tuple and Ellipsis not in inside:
        return f"{COUNTS.get(len(inside), len(inside))} values: {', '.join(map(_type, inside))}"
    if origin is not None and issubclass(origin, Mapping):
        return "mapping"
    if inside:
        return f"list of {_type(inside[0])}"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return f"mapping with {', '.join(kind.model_fields)}"
    return WORDS.get(kind, getattr(kind, "__name__", str(kind)))


def _bounds(field: FieldInfo) -> str:
    found = [
        f"{sign} {getattr(each, bound):g}"
        for each in field.metadata
        for bound, sign in BOUNDS.items()
        if getattr(each, bound, None) is not None
    ]
    return " " + " and ".join(found) if found else ""


def _settings(experiment: Experiment, keys: tuple[str, ...]) -> Iterator[Setting]:
    def given(values: Mapping[str, Any]) -> list[Any]:
        inner: Any = values
        for key in keys:
            if not isinstance(inner, Mapping) or key not in inner:
                return []
            inner = inner[key]
        return [inner]

    for value in given(experiment.params):
        yield Setting("params", "", (value,))
    for name, variant in experiment.variants.items():
        for value in given(variant.params):
            yield Setting("variant", name, (value,))
    for grid in experiment.checks:
        for values in given(grid):
            yield Setting("checks", "", tuple(values))
    for values in given(experiment.axes):
        yield Setting("axis", "", tuple(values))
    for name, preset in experiment.presets.items():
        for value in given(preset.params):
            yield Setting("preset", name, (value,))
        for values in given(preset.axes):
            yield Setting("preset", name, tuple(values or ()))
        for variant_values in preset.variants.values():
            for value in given(variant_values or {}):
                yield Setting("preset", name, (value,))
