"""Finds the user's files in values of `Params`, and makes their paths absolute.

A text names functions (`../own_files.py` says how). A field whose type is `Path` names a file or a folder. Paths in an
experiment file are relative to it.
"""

from __future__ import annotations

import copy
import os
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ..own_files import Term, is_reference, terms
from .document import Keys
from .subject import NoSubject, absolute_path, load_function, reference

Named = tuple[Keys, str, bool]  # the keys to a text, the text, and whether all of it is one path


@dataclass(frozen=True)
class BesideTheFile:
    """`core.trial.Nearby`, for an experiment file in this folder."""

    folder: Path

    def path(self, path: Path) -> Path:
        return absolute_path(self.folder, str(path))

    def load(self, text: str) -> Callable[..., Any]:
        try:
            return load_function(reference(text, self.folder))
        except NoSubject as error:
            raise ValueError(str(error)) from error


def with_absolute_paths(params: type[BaseModel], values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The same values with every path absolute. Raises NoSubject: a file, folder or function is not there."""
    changed = copy.deepcopy(dict(values))
    for keys, text, is_path in _named(params, values):
        *way, last = keys
        parent: Any = changed
        for key in way:
            parent = parent[key]
        parent[last] = str(_path(text, folder)) if is_path else _absolute_functions(text, folder)
    return changed


def files(params: type[BaseModel], values: Mapping[str, Any], folder: Path) -> set[Path]:
    """Every file and folder that the values name. Raises NoSubject: one is not there, or lacks the function."""
    return {path for named in _named(params, values) for path in _paths(named, folder)}


def missing(params: type[BaseModel], values: Mapping[str, Any], folder: Path) -> Iterator[tuple[Keys, str]]:
    """Files and functions that the values name and that do not exist: the keys of each, and a message."""
    for named in _named(params, values):
        try:
            _paths(named, folder)
        except NoSubject as error:
            yield named[0], str(error)


def plain(kind: Any) -> Any:
    """A type without Annotated and Optional."""
    while True:
        if typing.get_origin(kind) is typing.Annotated:
            kind = typing.get_args(kind)[0]
        elif typing.get_origin(kind) in (typing.Union, types.UnionType):
            kind = next(k for k in typing.get_args(kind) if k is not type(None))
        else:
            return kind


def _named(kind: Any, value: Any, keys: Keys = ()) -> Iterator[Named]:
    kind = plain(kind)
    if isinstance(value, Mapping):
        fields = kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else {}
        for key, inner in value.items():
            yield from _named(fields[key].annotation if key in fields else None, inner, (*keys, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _named(next(iter(typing.get_args(kind)), None), inner, (*keys, index))
    elif isinstance(value, str) and (kind is Path or is_reference(value)):
        yield keys, value, kind is Path


def _paths(named: Named, folder: Path) -> list[Path]:
    _, text, is_path = named
    if is_path:
        return [_path(text, folder)]
    return [reference(term.name, folder).path for term in terms(text) if term.is_own]


def _path(text: str, folder: Path) -> Path:
    path = absolute_path(folder, text)
    if not os.path.exists(path):
        raise NoSubject(f"no such file or folder: {text}")
    return path


def _absolute_functions(text: str, folder: Path) -> str:
    absolute = [
        Term(term.weight, str(reference(term.name, folder))) if term.is_own else term for term in terms(text)
    ]
    return "+".join(map(str, absolute))
