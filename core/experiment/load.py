"""A file and a request in, a checked experiment out: the one way in for every command."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from .checks import cross_check, param_mistakes, plainly
from .discovery import find
from .document import Document, Keys, read
from .mistakes import Mistake, Mistakes, nearest
from .overrides import resolve
from .pruning import pruned
from .request import Request
from .schema import Experiment, Variant
from .standing import plain
from .subject import NoSubject, Subject, load_subject


@dataclass(frozen=True)
class Loaded:
    """An experiment as asked for, its subject, and the folder that its references are relative to."""

    experiment: Experiment
    subject: Subject
    folder: Path
    document: Document


def load(name: str, request: Request | None = None) -> Loaded:
    """Find, read, check and resolve an experiment; `name` is a name or a path.

    Raises:
        Mistakes: everything that is wrong with the file, or else everything that is wrong with the request.
    """
    return load_document(read(find(name)), request or Request())


def load_document(document: Document, request: Request, *, is_resolved: bool = False) -> Loaded:
    """The same from a document already read.

    Args:
        is_resolved: it is the `experiment.yaml` of a run, checked when that began; with a choice of variants its claims
            may well name others.
    """
    try:
        as_written = shaped(document)
    except Mistakes as of_shape:
        raise Mistakes([*of_shape.mistakes, *_beside(document)]) from None
    subject = _subject(as_written, document)
    if not is_resolved and (mistakes := cross_check(as_written, document, subject)):
        raise Mistakes(mistakes)
    asked = resolve(document, subject, request)
    experiment = shaped(asked)
    mistakes = list(param_mistakes(experiment, asked, subject))
    if experiment.baseline not in experiment.variants:
        what = f"no variant {experiment.baseline}.{nearest(experiment.baseline, experiment.variants)}"
        mistakes.append(Mistake(asked.mark(("baseline",)), what))
    if mistakes:
        raise Mistakes(mistakes)
    return Loaded(experiment, subject, document.folder, asked)


def _beside(document: Document) -> list[Mistake]:
    """What else is wrong with a file, in the parts whose shape is right."""
    if (rest := pruned(document)) is None:
        return []
    try:
        return cross_check(*rest, _subject(*rest))
    except Mistakes as mistakes:
        return mistakes.mistakes


def validate(path: Path) -> Loaded:
    """Check a file with each of its presets.

    Raises:
        Mistakes: all of them.
    """
    document = read(path)
    loaded = load_document(document, Request())
    mistakes: list[Mistake] = []
    for preset in loaded.experiment.presets:
        try:
            load_document(document, Request(preset=preset))
        except Mistakes as error:
            mistakes += error.mistakes
    if mistakes:
        raise Mistakes(mistakes)
    return loaded


def _subject(experiment: Experiment, document: Document) -> Subject:
    try:
        return load_subject(experiment.trial, document.folder)
    except NoSubject as error:
        raise Mistakes([Mistake(document.mark(("trial",)), str(error))]) from None


def shaped(document: Document) -> Experiment:
    """The document as an `Experiment`.

    Raises:
        Mistakes: every key that is unknown, missing or of the wrong type.
    """
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
        found[keys] = Mistake(document.mark(keys), message)
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
            continue  # one mapping stands where a list of them may
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
