"""`lab new`: write an experiment to start from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from ..core.experiment.discovery import BUILT_IN
from ..core.experiment.document import read
from .experiment_file import path_of
from .screen import out, stop

TEMPLATES = Path(__file__).resolve().parent / "templates"


def new(
    name: Annotated[str, typer.Argument(help="What to call it: letters, digits and hyphens")],
    from_: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="NAME", help="Copy this experiment, with its comments, under the new name"
        ),
    ] = None,
    training: Annotated[
        bool, typer.Option("--training", help="With a trial that trains, instead of one that is timed")
    ] = False,
) -> None:
    """Write a commented experiment that runs at once, with a small trial of its own.

    lab new my-norm · lab new my-training --training · lab new my-grpo --from grpo
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        stop(f"{name}: a name is small letters, digits and hyphens")
    if from_ is not None and training:
        stop("--from copies an experiment, --training writes one: choose one of the two")
    folder = Path("experiments")
    made = _copied(from_, name, folder) if from_ is not None else _written(name, folder, training)
    for path in made:
        if path.exists():
            stop(f"{path} is there already; choose another name")
    schema = folder / "schema.json"  # named by the first line of the YAML file, for editors
    if not schema.exists():
        made[schema] = (BUILT_IN / "schema.json").read_bytes()
    folder.mkdir(exist_ok=True)
    for path, content in made.items():
        path.write_bytes(content)
        out().print(f"wrote {path}")
    out().print(f"\nnext  [command]lab validate {name}[/] · [command]lab run {name}[/]")


def _written(name: str, folder: Path, training: bool) -> dict[Path, bytes]:
    """From the templates: an experiment file and a trial."""
    module = f"{name.replace('-', '_')}_trial.py"
    of = ("training.yaml", "training.py") if training else ("experiment.yaml", "trial.py")

    def filled(template: str) -> bytes:
        text = (TEMPLATES / template).read_text(encoding="utf-8")
        return text.replace("NAME", name).replace("MODULE", module).encode()

    return {folder / f"{name}.yaml": filled(of[0]), folder / module: filled(of[1])}


def _copied(original: str, name: str, folder: Path) -> dict[Path, bytes]:
    """The file of another experiment, byte for byte but for its name: in `name:`, and in the commands of its comments."""
    path = path_of(original)
    document = read(path)
    was = re.escape(str(document.data.get("name", path.stem)).encode())
    content = path.read_bytes()
    content = re.sub(rb"(?m)^(name:[ \t]*[\"']?)" + was + rb"(?![\w-])", rb"\g<1>" + name.encode(), content)
    content = re.sub(rb"(\blab [a-z]+ )" + was + rb"(?![\w-])", rb"\g<1>" + name.encode(), content)
    beside = document.data.get("trial")
    if isinstance(beside, str) and beside.startswith(".") and path.resolve().parent != folder.resolve():
        stop(f"{path} names {beside}, which lies beside it; copy it into {folder}/ first and name that copy")
    return {folder / f"{name}.yaml": content}
