"""`lab params`: what of an experiment can be set."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from ..core.experiment.document import read
from ..core.suggest import nearest
from .experiment_file import path_of
from .options import Json
from .screen import out, print_json, stop, table

if TYPE_CHECKING:
    from ..core.experiment.parameters import Parameter

MOST = 3  # variants and presets that a line names


def params(
    name: Annotated[str, typer.Argument(help="Name of an experiment, or a file")],
    word: Annotated[
        str | None, typer.Argument(help="Only parameters in whose name or sentence it stands")
    ] = None,
    json: Json = False,
) -> None:
    """Every parameter: type, choices, default, what it means, and what sets it now.

    lab params grpo · lab params grpo temperature

    Imports, and so executes, the Python file named in the experiment's trial: line.
    """
    from ..core.experiment.load import load_document
    from ..core.experiment.parameters import parameters
    from ..core.experiment.request import Request

    loaded = load_document(read(path_of(name)), Request())
    everything = parameters(loaded.subject.params, loaded.experiment)
    found = [one for one in everything if not word or word.lower() in f"{one.name} {one.says}".lower()]
    if not found:
        stop(f"{name} has no parameter {word}.{nearest(word or '', [one.name for one in everything])}")
    if json:
        print_json([asdict(one) for one in found])
        return
    screen = out()
    rows = [
        [
            f"[name]{escape(one.name)}[/]",
            escape("\n".join(filter(None, [_here(one), one.says, *_others(one)]))),
        ]
        for one in found
    ]
    screen.print(table(["parameter", "here; type; what it means"], rows, shorten=1))
    of_variant = f"-s {shlex.quote(next(iter(loaded.experiment.variants)))}.KEY=VALUE"
    screen.print(
        f"\nto change one: [command]lab run {escape(shlex.quote(name))} -s KEY=VALUE[/]\n"
        "several values make an axis: [command]-s KEY=1,2[/]\n"
        f"in one variant: [command]{escape(of_variant)}[/]\na new variant: [command]-s variants.NEW.KEY=VALUE[/]",
        soft_wrap=True,
    )


def _here(one: Parameter) -> str:
    """`axis 1000, 4000; whole number ≥ 1, default 1000`: the value where nothing but the file is asked for, and the type."""
    by = {setting.by: setting for setting in one.set_by}
    default = "required" if one.is_required else f"default {_words(one.default)}"
    if "axis" in by:
        here = "axis " + ", ".join(map(_words, by["axis"].values))
    elif "params" in by:
        here = _words(by["params"].values[0])
    else:
        return f"{default}; {one.type}"
    return f"{here}; {one.type}, {default}"


def _others(one: Parameter) -> list[str]:
    """A line each for the variants, the checks and the presets that set it."""
    lines = []
    for by, plural in (("variant", "variants"), ("checks", "checks"), ("preset", "presets")):
        said = [
            f"{setting.name} {', '.join(map(_words, setting.values))}".strip()
            for setting in one.set_by
            if setting.by == by
        ]
        if said:
            more = f"; {len(said) - MOST} more: --json" if len(said) > MOST else ""
            lines.append(f"{plural}: {'; '.join(said[:MOST])}{more}")
    return lines


def _words(value: Any) -> str:
    """A value as one types it behind `-s`."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_words, value))}]"
    return str(value) or '""'
