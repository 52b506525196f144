"""An experiment file without its parts of wrong shape, so that the rest is checked in the same pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from .document import Document, Keys
from .schema import Experiment

ROUNDS = 10  # what is left may show a new mistake of shape, such as a mapping that lost a key it needs


def pruned(document: Document) -> tuple[Experiment, Document] | None:
    """The experiment that is left, and its document; None when a required part is wrong."""
    for _ in range(ROUNDS):
        try:
            return Experiment.model_validate(document.data), document
        except ValidationError as error:
            one = error.errors()[0]
            keys = _what_to_drop(one["loc"], one["type"])
            if keys is None:
                return None
            document = _without(document, keys)
    return None


def _what_to_drop(location: tuple[int | str, ...], kind: str) -> Keys | None:
    if kind == "extra_forbidden":
        return location
    if location[:1] in (("claims",), ("plots",), ("predictions",)) and len(location) > 1:
        return location[:2]
    if location[:1] in (("metrics",), ("presets",), ("sources",), ("variants",)) and len(location) > 1:
        return location[:2]
    field = Experiment.model_fields.get(str(location[0])) if location else None
    return location[:1] if field is not None and not field.is_required() and kind != "missing" else None


# Other keys refer to these by name, so an entry of that name has to stay.
STAND_INS: dict[str, Any] = {"metrics": {"kind": "counted"}, "variants": {}, "sources": {"title": ""}}


def _without(document: Document, keys: Keys) -> Document:
    *way, last = keys
    data = _copied(document.data)
    parent: Any = data
    for key in way:
        parent = parent[key]
    if isinstance(last, int):
        del parent[last]
        return replace(document, data=data, positions=_moved_up(document, tuple(way), last))
    if len(keys) == 2 and keys[0] in STAND_INS:
        parent[last] = STAND_INS[str(keys[0])]
    else:
        parent.pop(last, None)
    return replace(document, data=data)


def _moved_up(document: Document, way: Keys, index: int) -> dict[Keys, Any]:
    """The positions of a list after its item `index` is gone."""
    positions = {}
    depth = len(way)
    for keys, position in document.positions.items():
        if keys[:depth] == way and len(keys) > depth:
            item = int(keys[depth])
            if item == index:
                continue
            if item > index:
                keys = (*way, item - 1, *keys[depth + 1 :])
        positions[keys] = position
    return positions


def _copied(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _copied(value) for key, value in data.items()}
    return [_copied(value) for value in data] if isinstance(data, list) else data
