"""What the shell offers at Tab: the names of experiments, presets, metrics, variants, runs and keys.

Nothing is run for it, no file of the user's is executed, and what cannot be read offers nothing.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem
from typer.core import TyperGroup

from ..core.experiment.discovery import experiment_files, find
from ..core.experiment.document import Document, read

Complete = Callable[[click.Context, str], Iterable[str]]


class Completing(TyperGroup):
    """The commands; a parameter is completed by what its name stands for, in whichever command it is."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = super().get_command(ctx, cmd_name)
        for parameter in command.params if command is not None else ():
            complete = BY_COMMAND.get(f"{cmd_name} {parameter.name}") or BY_NAME.get(parameter.name or "")
            if complete is not None:
                setattr(parameter, "shell_complete", partial(_items, complete))  # noqa: B010  # a method, to mypy
        return command


def _items(complete: Complete, context: click.Context, incomplete: str) -> list[CompletionItem]:
    """What begins like the word; nothing where a file is wrong: Tab prints no mistakes."""
    with suppress(Exception):
        return [CompletionItem(word) for word in complete(context, incomplete) if word.startswith(incomplete)]
    return []


def _document(context: click.Context) -> Document:
    """The file of the experiment that the command line names before the word."""
    # Where an option still lacks its value, which is what is being typed, click has put the arguments aside.
    given = context.params.get("name") or context.params.get("names") or context.args
    return read(find(given if isinstance(given, str) else given[0]))


def _mapping(context: click.Context, key: str) -> dict[str, Any]:
    found = _document(context).data.get(key)
    return found if isinstance(found, dict) else {}


def experiments(context: click.Context, incomplete: str) -> Iterable[str]:
    return experiment_files()


def presets(context: click.Context, incomplete: str) -> Iterable[str]:
    return _mapping(context, "presets")


def metrics(context: click.Context, incomplete: str) -> Iterable[str]:
    return _mapping(context, "metrics")


def axes(context: click.Context, incomplete: str) -> Iterable[str]:
    return _mapping(context, "axes")


def variants(context: click.Context, incomplete: str) -> Iterator[str]:
    """The last of several, separated by commas."""
    before, comma, _ = incomplete.rpartition(",")
    chosen = before.split(",")
    return (before + comma + name for name in _mapping(context, "variants") if name not in chosen)


def claims(context: click.Context, incomplete: str) -> Iterator[str]:
    """`softmax/faster`; of all experiments, as long as none is named."""
    named = incomplete.partition("/")[0]
    for name, path in experiment_files().items():
        if name.startswith(named) and (name == named or "/" not in incomplete):
            yield from (f"{name}/{claim['id']}" for claim in read(path).data.get("claims") or ())


def runs(context: click.Context, incomplete: str) -> Iterator[str]:
    """The letters of the runs of this experiment, else of all; from the names of their folders alone."""
    folder, pattern = Path(context.params.get("results") or os.environ.get("LAB_RESULTS") or "results"), "*/*"
    with suppress(Exception):
        pattern = f"{_document(context).data['name']}/*"
    newest = sorted((path.parent.name for path in folder.glob(f"{pattern}/run.json")), reverse=True)
    return (name.rpartition("-")[2] for name in newest)


def keys(context: click.Context, incomplete: str) -> Iterator[str]:
    """`columns=`, `online.k=`, `variants.`, and the values where they can be listed: `dtype=float16`."""
    from ..core.experiment.overrides import SETTABLE

    document = _document(context)
    fields, in_file = _fields(document), _mapping(context, "variants")
    way, equals, _ = incomplete.partition("=")
    *before, last = way.split(".")
    if equals:
        yield from (f"{way}={choice}" for choice in fields.get(last, ()))
    elif not before:
        yield from (f"{name}=" for name in fields)
        yield from (f"{name}=" for name in SETTABLE if name not in ("params", "axes", "checks", "variants"))
        yield from (f"{name}." for name in ("variants", *(in_file if way else ())))
    elif before == ["variants"]:
        yield from (f"variants.{name}." for name in in_file)
    else:
        yield from (f"{'.'.join(before)}.{name}=" for name in fields)


def parameters(context: click.Context, incomplete: str) -> Iterable[str]:
    return _fields(_document(context))


def _fields(document: Document) -> Mapping[str, list[str]]:
    """The parameters of a subject, each with its choices; those of a user's file are read from its text."""
    from ..core.experiment.subject import absolute_path, is_file, load_subject

    trial = str(document.data["trial"])
    if not is_file(trial):
        from ..core.experiment.parameters import choices

        fields = load_subject(trial, document.folder).params.model_fields
        return {name: [str(one) for one in choices(field.annotation)] for name, field in fields.items()}
    tree = ast.parse(absolute_path(document.folder, trial).read_bytes())
    params = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Params")
    lines = (line for node in params for line in node.body if isinstance(line, ast.AnnAssign))
    return {line.target.id: [] for line in lines if isinstance(line.target, ast.Name)}


def _words(*known: str) -> Complete:
    return lambda context, incomplete: known


BY_NAME: dict[str, Complete] = {
    "name": experiments, "names": experiments, "word": experiments, "from_": experiments,
    "preset": presets, "metric": metrics, "rows": axes, "variants": variants, "set_": keys, "claim": claims,
    "run": runs, "runs": runs, "resume": runs, "ids": runs,
    "device": _words("auto", "cpu", "cuda"), "direction": _words("fwd", "fwd+bwd"),
    "fail_on": _words("fails", "wrong", "unclear", "untrained"), "to": _words("tensorboard", "mlflow"),
}  # fmt: skip
BY_COMMAND: dict[str, Complete] = {
    "export run": lambda context, incomplete: [*experiments(context, incomplete), *runs(context, incomplete)],
    "compare format": _words("table", "markdown", "csv", "latex", "json"),
    "list format": _words("table", "markdown"),
    "new name": _words(),
    "params word": parameters,
    "validate file": experiments,
}
