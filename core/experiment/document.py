"""YAML as data, with the position of every key; no schema yet, and no import heavier than PyYAML.

Tags are refused (a file of data must not construct objects), and aliases may not expand without bound.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .mistakes import Mistake, Mistakes, Position

Keys = tuple[str | int, ...]  # the way to a value: ("claims", 0, "expect")

MOST_NODES = 20_000  # an ordinary file has a few hundred; ten lines of nested aliases could have billions
MOST_BYTES = 1_000_000
MOST_DEPTH = 40

# Characters that a terminal obeys or UTF-8 cannot hold: none belongs into a name, a sentence or a path.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Document:
    """The content of a file, and the position of each key."""

    data: dict[str, Any]
    positions: Mapping[Keys, Position]
    path: Path
    texts: Mapping[Keys, Position] = field(default_factory=dict)
    """Where the first character of each single value stands."""

    def position(self, keys: Keys) -> Position:
        """The position of these keys, or of the nearest key around them."""
        for end in range(len(keys), -1, -1):
            if keys[:end] in self.positions:
                return self.positions[keys[:end]]
        return Position(str(self.path))

    def inside(self, keys: Keys, at: int) -> Position:
        """The position of a character of a value, from 0; that of its key where the file has no such value."""
        if (start := self.texts.get(keys)) is None or start.column is None:
            return self.position(keys)
        return Position(start.source, start.line, start.column + at)

    @property
    def folder(self) -> Path:
        """What relative references in the file are relative to."""
        return self.path.resolve().parent


def read(path: Path) -> Document:
    """Read an experiment file.

    Raises Mistakes: not there, no file, too long, not UTF-8, not YAML, empty, not a mapping, duplicate keys,
    tags, merge keys, control characters, runaway aliases.
    """
    shown = shorten(path)
    raw = _content(path, shown)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        column = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
        raise Mistakes(
            [Mistake(Position(shown, line, column), "is not UTF-8; save the file as UTF-8")]
        ) from None
    data, positions, texts = _parse(text, shown)
    if data is None:
        raise Mistakes(
            [Mistake(Position(shown, 1, 1), "is empty; `lab new NAME` writes a file to start from")]
        )
    if not isinstance(data, dict):
        raise Mistakes([Mistake(Position(shown, 1, 1), f"must be a mapping of keys, not {_kind(data)}")])
    return Document(data, positions, path, texts)


def _content(path: Path, shown: str) -> bytes:
    """The bytes of a file, refused unread if it is no regular file (a pipe would never end) or too large."""
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise Mistakes([Mistake(Position(shown), "cannot be read: it is no ordinary file")])
        size = about.st_size
        if size <= MOST_BYTES:
            with path.open("rb") as file:
                raw = file.read(MOST_BYTES + 1)
            size = max(size, len(raw))
    except (OSError, ValueError) as error:  # ValueError: no path at all, such as one with a null byte
        what = getattr(error, "strerror", None) or str(error)
        raise Mistakes([Mistake(Position(shown), f"cannot be read: {what}")]) from None
    if size > MOST_BYTES:
        raise Mistakes(
            [Mistake(Position(shown), f"is {size:,} bytes long; an experiment is a few kilobytes")]
        )
    return raw


def read_value(text: str, source: str) -> Any:
    """The value in `key=value` of the command line, in the same YAML."""
    return _parse(printable(text, source), source, lines=False)[0]


def printable(text: str, source: str) -> str:
    """The same text. Raises Mistakes: it holds a character that a terminal obeys, or half of a surrogate pair."""
    if _CONTROL.search(text):
        raise Mistakes([Mistake(Position(source), "holds a control character")])
    return text


def plain_value(text: str) -> Any:
    """The value of one word of the command line: a number, true, false or null, else the text itself."""
    import yaml

    from .plain_yaml import PlainLoader

    tag = PlainLoader("").resolve(yaml.ScalarNode, text, (True, False))
    try:
        return _scalar(yaml.ScalarNode(tag, text))
    except ValueError:  # more digits than Python takes for a number
        return text


def _parse(
    text: str, source: str, lines: bool = True
) -> tuple[Any, dict[Keys, Position], dict[Keys, Position]]:
    def position_of(mark: Any) -> Position:
        return (
            Position(source, mark.line + 1, mark.column + 1)
            if lines and mark is not None
            else Position(source)
        )

    import yaml  # here, so that `lab --help` does without it

    from .plain_yaml import PlainLoader

    try:
        # Composing is recursive, in C, and would end the process; the events are not.
        depth = 0
        for event in yaml.parse(text, Loader=PlainLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MOST_DEPTH:
                raise Mistakes([Mistake(position_of(event.start_mark), "is nested too deeply")])
        root = yaml.compose(text, Loader=PlainLoader)
    except yaml.MarkedYAMLError as error:
        what = " ".join(str(part) for part in (error.context, error.problem) if part)
        raise Mistakes([Mistake(position_of(error.problem_mark), f"is not YAML: {what}")]) from None
    except yaml.YAMLError as error:  # a character that YAML does not allow
        raise Mistakes([Mistake(Position(source), f"is not YAML: {str(error).splitlines()[0]}")]) from None
    if root is None:
        return None, {}, {}
    positions: dict[Keys, Position] = {(): position_of(root.start_mark)}
    texts: dict[Keys, Position] = {}
    mistakes: list[Mistake] = []
    budget = iter(range(MOST_NODES))

    def build(node: Any, keys: Keys, parents: tuple[Any, ...]) -> Any:
        if next(budget, None) is None:
            raise Mistakes(
                [Mistake(position_of(node.start_mark), f"aliases expand to more than {MOST_NODES:,} values")]
            )
        if any(node is outer for outer in parents):
            raise Mistakes([Mistake(position_of(node.start_mark), "an alias contains itself")])
        if len(parents) > MOST_DEPTH:
            raise Mistakes([Mistake(position_of(node.start_mark), "is nested too deeply")])
        if not node.tag.startswith("tag:yaml.org,2002:") or "python" in node.tag:
            mistakes.append(
                Mistake(
                    position_of(node.start_mark), f"tags such as {node.tag} are not allowed; plain data only"
                )
            )
            return None
        lineage = (*parents, node)
        if isinstance(node, yaml.MappingNode):
            return dict(_pairs(node, keys, lineage))
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                positions.setdefault((*keys, index), position_of(item.start_mark))
            return [build(item, (*keys, index), lineage) for index, item in enumerate(node.value)]
        begins = position_of(node.start_mark)
        if begins.column is not None:
            texts[keys] = replace(begins, column=begins.column + (node.style in ("'", '"')))
        if _CONTROL.search(node.value):
            mistakes.append(Mistake(position_of(node.start_mark), "holds a control character"))
            return None
        try:
            return _scalar(node)
        except ValueError:  # `!!int abc`, or more digits than Python takes
            what = node.value if len(node.value) < 60 else f"{node.value[:50]}…"
            mistakes.append(Mistake(position_of(node.start_mark), f"{what} is not what its tag says"))
            return None

    def _pairs(node: Any, keys: Keys, lineage: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
        first_lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                mistakes.append(Mistake(position_of(key_node.start_mark), "a key must be a word"))
                continue
            key = str(key_node.value)
            if key == "<<":
                what = "merge keys (<<) are not read; write out what they stand for"
                mistakes.append(Mistake(position_of(key_node.start_mark), what))
                continue
            if _CONTROL.search(key):
                mistakes.append(Mistake(position_of(key_node.start_mark), "a key holds a control character"))
                continue
            if key in first_lines:
                first = f", first at line {first_lines[key]}" if lines else ""
                mistakes.append(Mistake(position_of(key_node.start_mark), f"duplicate key {key}{first}"))
                continue
            first_lines[key] = key_node.start_mark.line + 1
            positions[(*keys, key)] = position_of(key_node.start_mark)
            yield key, build(value_node, (*keys, key), lineage)

    data = build(root, (), ())
    if mistakes:
        raise Mistakes(mistakes)
    return data, positions, texts


def _scalar(node: Any) -> Any:
    kind, text = node.tag.rpartition(":")[2], node.value
    if kind == "null":
        return None
    if kind == "bool":
        return text in ("true", "True")
    if kind == "int":
        return int(text.replace("_", ""))
    if kind == "float":
        return float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
    return text


def _kind(data: Any) -> str:
    return "a list" if isinstance(data, list) else "a single value"


def shorten(path: Path) -> str:
    """The path as one would type it here."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError, RuntimeError):  # RuntimeError: a loop of links
        return str(path)
