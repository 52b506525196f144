"""Applies a request to an experiment file: preset, added variants, -s, then the other flags."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ..own_files import is_reference
from ..suggest import nearest
from .absolute_paths import plain, with_absolute_paths
from .document import Document, Keys, plain_value, printable, read_value
from .mistakes import Mistake, Mistakes, Position
from .request import Request
from .schema import Experiment
from .shape import shaped
from .subject import NoSubject, Subject

NAME = re.compile(r"[A-Za-z0-9][\w-]*")
SETTABLE = (
    "params", "axes", "checks", "variants", "baseline", "repeats", "seeds", "sample_seconds", "timeout",
)  # fmt: skip


def resolve(document: Document, subject: Subject, request: Request) -> Document:
    """The document with the whole request applied; the positions of changed keys are the options that changed them.

    Raises Mistakes: an unknown preset, key or variant, a value that cannot be read, a reference that leads nowhere.
    """
    document = _with_preset(document, request.preset)
    shaped(document)
    document = _with_what_is_installed(document, request.variants)
    in_file = tuple(document.data.get("variants") or {})
    mistakes: list[Mistake] = []
    for text in request.add:
        document = _collect(
            mistakes, document, lambda d, t=text: _with_variant(d, subject, t, request.folder)
        )
    if request.direction is not None:
        document = _collect(
            mistakes, document, lambda d: _with_direction(d, subject, request.direction or "", request.sets)
        )
    for text in request.sets:
        document = _collect(mistakes, document, lambda d, t=text: _with_set(d, subject, t, request.folder))
    for flag in ("repeats", "seeds"):
        if (count := getattr(request, flag)) is not None:
            document = _collect(mistakes, document, lambda d, f=flag, c=count: _with_replicates(d, f, c))
    if request.variants:
        document = _collect(mistakes, document, lambda d: _with_only(d, request, in_file))
    if mistakes:
        raise Mistakes(mistakes)
    return document


def _collect(mistakes: list[Mistake], document: Document, change: Any) -> Document:
    try:
        changed: Document = change(document)
        shaped(changed)  # so that each change finds what it expects
        return changed
    except Mistakes as error:
        mistakes += error.mistakes
        return document


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings merge, null removes an entry, everything else replaces."""
    result = dict(base)
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def _with_preset(document: Document, name: str | None) -> Document:
    if name is None:
        return document
    presets = document.data.get("presets") or {}
    if name not in presets:
        raise Mistakes([Mistake(Position(f"--preset {name}"), f"no such preset.{nearest(name, presets)}")])
    preset = presets[name] or {}
    data = merged(document.data, preset)
    moved = {
        keys[2:]: position
        for keys, position in document.positions.items()
        if keys[:2] == ("presets", name) and len(keys) > 2
    }
    return replace(document, data=data, positions={**document.positions, **moved})


def _with_what_is_installed(document: Document, named: tuple[str, ...]) -> Document:
    """Without the variants whose package is not installed; one that --variants names stays, and refuses when it runs."""
    variants: dict[str, Any] = document.data.get("variants") or {}

    def stays(name: str) -> bool:
        needed = variants[name].get("needs") if isinstance(variants[name], dict) else None
        if not isinstance(needed, str):  # a mistake of shape is reported later
            return True
        return not needed or name in named or _is_installed(needed.partition(".")[0])

    return replace(
        document, data={**document.data, "variants": {n: variants[n] for n in variants if stays(n)}}
    )


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:  # "" or "__main__": no name of a package
        return False


def _with_direction(document: Document, subject: Subject, direction: str, sets: tuple[str, ...]) -> Document:
    """`--pass`: the output alone or the gradients too, in subjects that have both."""
    position, key = Position(f"--pass {direction}"), "direction"
    if any(text.partition("=")[0].strip() == key for text in sets):
        raise Mistakes([Mistake(position, f"-s {key}=… says the same once more; choose one of the two")])
    if key not in subject.params.model_fields:
        what = f"{document.data.get('name')} has no passes to choose from: {document.data.get('trial')} takes no {key}"
        raise Mistakes([Mistake(position, what)])
    is_axis = key in (document.data.get("axes") or {})
    return _changed(
        document, ("axes" if is_axis else "params", key), [direction] if is_axis else direction, position
    )


def _with_set(document: Document, subject: Subject, text: str, folder: Path) -> Document:
    position = Position(f"-s {printable(text, '-s')}")
    key, equals, raw = text.partition("=")
    key = key.strip()
    if not equals or not all(key.split(".")):
        raise Mistakes([Mistake(position, "write it as key=value")])
    keys = _keys_for(document, subject, key, position)
    variants = document.data.get("variants") or {}
    if keys[0] == "variants" and len(keys) > 2 and keys[1] not in variants:
        document = _with_new_variant(document, str(keys[1]), position)
    if keys[0] == "params" and variants and all(keys[-1] in (variant or {}) for variant in variants.values()):
        what = f"has no effect: every variant sets {key} itself; name one: -s {next(iter(variants))}.{key}=…"
        raise Mistakes([Mistake(position, what)])
    raw = raw.strip()
    if keys[0] == "params" and len(keys) == 2 and _is_several(raw, keys, subject):
        if setting := [name for name, variant in variants.items() if key in (variant or {})]:
            what = f"{key} cannot be an axis: {', '.join(setting)} would lose their own; name one: -s {setting[0]}.{key}=…"
            raise Mistakes([Mistake(position, what)])
        keys = ("axes", key)
    value = _typed(raw, keys, subject, position)
    return _changed(document, keys, _absolute(value, keys, subject, folder, position), position)


def _is_several(raw: str, keys: Keys, subject: Subject) -> bool:
    """Whether this is a list of values of a parameter that takes one."""
    kind = plain(_kind_at(keys, subject))
    if typing.get_origin(kind) in (list, tuple, dict, Sequence) or raw.startswith("{"):
        return False
    bare = re.sub(r"""(["']).*?\1""", "", raw)  # a comma inside of quotes belongs to the text
    return "," in bare or raw.startswith("[") and not _is_text(kind)


def _keys_for(document: Document, subject: Subject, key: str, position: Position) -> Keys:
    """`columns` is an axis or a parameter, `online.k` a variant's, `model.hf` inside of a parameter; `axes.columns`
    spells it out."""
    data, parts = document.data, tuple(key.split("."))
    variants = data.get("variants") or {}
    if parts[0] in SETTABLE:
        return parts
    if len(parts) == 1 and key in (data.get("axes") or {}):
        return ("axes", key)
    if len(parts) == 1 and key in subject.params.model_fields:
        return ("params", key)
    if len(parts) > 1 and parts[0] in variants:
        return ("variants", *parts)
    if len(parts) > 1 and parts[0] in subject.params.model_fields:
        return ("params", *parts)
    if parts[0] in Experiment.model_fields:
        raise Mistakes(
            [Mistake(position, f"{parts[0]} belongs to the file; settable: {', '.join(SETTABLE)}")]
        )
    choices = {*subject.params.model_fields, *(data.get("axes") or {}), *SETTABLE}
    raise Mistakes([Mistake(position, f"no such key {key}.{nearest(key, choices)}")])


def _typed(raw: str, keys: Keys, subject: Subject, position: Position) -> Any:
    """The value as the schema wants it: lists need no brackets, text no quotes."""
    kind = _kind_at(keys, subject)
    is_swept = len(keys) == 2 and keys[0] in ("axes", "checks")
    is_list = is_swept or (
        keys[0] not in ("axes", "checks") and typing.get_origin(plain(kind)) in (list, tuple, Sequence)
    )
    if is_list and not raw.startswith("["):
        # A comma inside of quotes belongs to the text.
        parts = raw.split(",") if not set(raw) & set("\"'") else read_value(f"[{raw}]", str(position))
        return [_word(part.strip(), kind, position) if isinstance(part, str) else part for part in parts]
    if raw.startswith(("[", "{")) and (is_list or not _is_text(kind)):
        return _fitted(read_value(raw, str(position)), kind)
    return _word(raw, kind, position)


def _word(raw: str, kind: Any, position: Position) -> Any:
    """One scalar. Quotes around it make it text, and what is text by its type needs none."""
    if len(raw) > 1 and raw[0] == raw[-1] and raw[0] in "\"'":
        return read_value(raw, str(position))
    if not raw and not _is_text(kind):
        raise Mistakes([Mistake(position, "has no value")])
    value = plain_value(raw)
    is_null = value is None and raw and type(None) in _leaves(kind)
    return raw if _is_text(kind) and not is_null else _fitted(value, kind)


def _fitted(value: Any, kind: Any) -> Any:
    """The value with whole numbers where its type wants them: 1e4 keys are 10,000 keys."""
    if isinstance(value, dict):
        kind = plain(kind)
        of_values = typing.get_args(kind)[-1] if typing.get_origin(kind) is dict else None
        fields = kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else {}
        return {
            key: _fitted(one, fields[key].annotation if key in fields else of_values)
            for key, one in value.items()
        }
    if isinstance(value, list):  # along an axis each has the type of the parameter itself
        return [_fitted(one, kind) for one in value]
    leaves = _leaves(kind)
    is_whole = isinstance(value, float) and value.is_integer() and int in leaves and float not in leaves
    return int(value) if is_whole else value


def _kind_at(keys: Keys, subject: Subject) -> Any:
    """The type of the value at these keys, from the schema or the subject; None where neither has the key."""
    if keys[0] not in ("params", "axes", "checks", "variants"):
        field = Experiment.model_fields.get(str(keys[0]))
        return field.annotation if field is not None and len(keys) == 1 else None
    if keys == ("variants",):
        return types.GenericAlias(dict, (str, subject.params))
    kind: Any = subject.params
    for key in keys[2:] if keys[0] == "variants" else keys[1:]:
        kind = plain(kind)
        fields = kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else {}
        if key not in fields:
            return None
        kind = fields[str(key)].annotation
    return kind


def _is_text(kind: Any) -> bool:
    leaves = _leaves(kind) - {type(None)}
    return bool(leaves) and leaves <= {str, Path}


def _leaves(kind: Any) -> set[Any]:
    """The types of the scalars inside of a type: `{int}` of `list[int]`, `{str, NoneType}` of `str | None`."""
    if typing.get_origin(kind) is typing.Literal:
        return {type(value) for value in typing.get_args(kind)}
    arguments = [one for one in typing.get_args(kind) if isinstance(one, type) or typing.get_args(one)]
    return {leaf for one in arguments for leaf in _leaves(one)} if arguments else {kind}


def _absolute(value: Any, keys: Keys, subject: Subject, folder: Path, position: Position) -> Any:
    """The value with absolute paths: on the command line they are relative to the working folder, not to the file."""
    if keys == ("variants",) and isinstance(value, dict):
        return {name: _absolute(v, (*keys, name), subject, folder, position) for name, v in value.items()}
    way = keys[2:] if keys[0] == "variants" else keys[1:]  # inside of the subject's parameters
    for key in reversed(way):
        value = {key: value}
    if isinstance(value, dict):
        try:
            value = with_absolute_paths(subject.params, value, folder)
        except NoSubject as error:
            raise Mistakes([Mistake(position, str(error))]) from None
    for key in way:
        value = value[key]
    return value


def _changed(document: Document, keys: Keys, value: Any, position: Position) -> Document:
    def change(data: Any, rest: Keys) -> Any:
        if not rest:
            return merged(data, value) if isinstance(value, dict) and isinstance(data, dict) else value
        inner = dict(data) if isinstance(data, dict) else {}
        inner[str(rest[0])] = change(inner.get(str(rest[0])), rest[1:])
        return inner

    positions = {k: m for k, m in document.positions.items() if k[: len(keys)] != keys}
    return replace(document, data=change(document.data, keys), positions={**positions, keys: position})


def _with_new_variant(document: Document, name: str, position: Position) -> Document:
    """With an empty variant in the tier of the baseline, so that it is compared with it."""
    if not NAME.fullmatch(name):
        raise Mistakes([Mistake(position, f"a variant's name is letters, digits, - and _; not {name!r}")])
    baseline = (document.data.get("variants") or {}).get(document.data.get("baseline")) or {}
    tier = {"tier": baseline["tier"]} if "tier" in baseline else {}
    return _changed(document, ("variants", name), tier, position)


def _with_variant(document: Document, subject: Subject, text: str, folder: Path) -> Document:
    position = Position(f"--add {text}")
    name, equals, target = text.partition("=")
    if not equals or not NAME.fullmatch(name):
        raise Mistakes([Mistake(position, "write it as name=./file.py:function")])
    variants = document.data.get("variants") or {}
    if name in variants:
        raise Mistakes([Mistake(position, f"there is a variant {name} already; choose another name")])
    if "implementation" not in subject.params.model_fields:
        raise Mistakes(
            [Mistake(position, f"the subject {document.data.get('trial')} takes no implementation")]
        )
    if not is_reference(target):
        raise Mistakes([Mistake(position, "write it as name=./file.py:function")])
    keys: Keys = ("variants", name)
    added = _absolute({"implementation": target}, keys, subject, folder, position)
    return _changed(_with_new_variant(document, name, position), keys, added, position)


def _with_replicates(document: Document, flag: str, count: int) -> Document:
    other = "seeds" if flag == "repeats" else "repeats"
    if document.data.get(other) is not None:
        message = f"this experiment counts {other}; write --{other} {count}"
        raise Mistakes([Mistake(Position(f"--{flag} {count}"), message)])
    return _changed(document, (flag,), count, Position(f"--{flag} {count}"))


def _with_only(document: Document, request: Request, in_file: Collection[str]) -> Document:
    variants: dict[str, Any] = document.data.get("variants") or {}
    position = Position(f"--variants {','.join(request.variants)}")
    unknown = [n for n in request.variants if n not in variants]
    if unknown:
        raise Mistakes(
            [Mistake(position, f"no variant {name}.{nearest(name, variants)}") for name in unknown]
        )
    # The baseline always runs, since every ratio needs it, and so does what --add and -s variants.NEW.… add.
    wanted = {*request.variants, document.data.get("baseline"), *request.added_variants(in_file)}
    kept = {name: value for name, value in variants.items() if name in wanted}
    return replace(document, data={**document.data, "variants": kept})
