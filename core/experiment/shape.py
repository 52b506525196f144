"""The data of a file as an `Experiment`; a wrong shape is reported with its position and the nearest right key."""

from __future__ import annotations

import typing
from typing import Any

from pydantic import BaseModel, ValidationError

from ..suggest import nearest
from .absolute_paths import plain
from .document import Document, Keys
from .mistakes import Mistake, Mistakes
from .schema import Experiment, Variant

_WHOLE, _TRUTH = "should be a whole number", "should be true or false"
WORDS = {
    "dict_type": "should be a mapping (key: value)",
    "model_type": "should be a mapping (key: value)",
    "list_type": "should be a list",
    "tuple_type": "should be a list",
    "string_type": "should be text",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": "should be a number",
    "float_parsing": "should be a number",
    "bool_type": _TRUTH,
    "bool_parsing": _TRUTH,
}
"""Pydantic's error types in words of YAML."""


def shaped(document: Document) -> Experiment:
    """The document as an `Experiment`. Raises Mistakes: every key that is unknown, missing or of the wrong type."""
    try:
        return Experiment.model_validate(document.data)
    except ValidationError as error:
        raise Mistakes(_shape_mistakes(error, document)) from None


def _shape_mistakes(error: ValidationError, document: Document) -> list[Mistake]:
    found: dict[Keys, Mistake] = {}  # a union reports each of its members; one mistake a place is enough
    for one in error.errors():
        keys = _in_document(one["loc"], document)
        kind = one["type"]
        if kind == "extra_forbidden":
            model = _model_at(keys[:-1])
            choices = model.model_fields if model else ()
            quotes = " Text with a comma needs quotes." if " " in str(keys[-1]) else ""
            message = f"unknown key {keys[-1]}.{quotes or nearest(str(keys[-1]), choices)}"
        elif kind == "missing":
            around = f" in {'.'.join(map(str, keys[:-1]))}" if keys[:-1] else ""
            message = f"{one['loc'][-1]} is missing{around}"
        elif keys in found:
            continue
        elif len(one["loc"]) > len(keys):  # no member of the union took it
            message = f"{keys[-1]}: must be a number, a text or true/false"
        else:
            message = plainly(one)
            if kind != "value_error" and keys:
                message = f"{keys[-1]}: {message}"
        found[keys] = Mistake(document.position(keys), message)
    return list(found.values())


def _in_document(location: tuple[int | str, ...], document: Document) -> Keys:
    """Pydantic's location without the names of union members, which are no keys of the file."""
    keys: Keys = ()
    data: Any = document.data
    for part in location:
        if isinstance(data, dict) and (
            part in data or part == location[-1] and _model_at((*keys, part)) is None
        ):
            if part not in data:
                return (*keys, part)
            data, keys = data[part], (*keys, part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data, keys = data[part], (*keys, part)
        elif isinstance(data, dict) and isinstance(part, int):
            continue  # a single mapping in the place of a list of them
        else:
            break
    return keys


def _model_at(keys: Keys) -> type[BaseModel] | None:
    """The model whose fields these keys of a file may name."""
    kind: Any = Experiment
    for key in keys:
        kind = _inside(kind, key)
    kind = plain(kind)
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) and kind is not Variant else None


def _inside(kind: Any, key: str | int) -> Any:
    kind = plain(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(str(key))
        return field.annotation if field else None
    arguments = typing.get_args(kind)
    return arguments[-1] if arguments else None


def plainly(error: Any) -> str:
    """An error of pydantic's as a sentence without its preambles."""
    message = WORDS.get(error["type"]) or str(error["msg"]).removeprefix("Value error, ").removeprefix(
        "Input "
    )
    given = error.get("input")
    shown = (
        ""
        if isinstance(given, dict | list) or error["type"] in ("missing", "value_error")
        else f", not {_short(repr(given))}"
    )
    return message[:1].lower() + message[1:] + shown


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:60]}…"
