"""`lab verify`: is it right? No clock, the same rule as in a run."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from ..core.experiment.document import read
from .experiment_file import path_of
from .options import Json
from .screen import people, print_json

CANDIDATE = "yours"


def verify(
    name: Annotated[str, typer.Argument(help="Name of an experiment")],
    function: Annotated[str, typer.Argument(metavar="FILE.py:FUNCTION", help="What to verify")],
    case: Annotated[int | None, typer.Option(min=1, help="Only this case, by its number")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("-s", "--set", metavar="KEY=VALUE", help="As in lab run")
    ] = None,
    direction: Annotated[str | None, typer.Option("--pass", help="Only fwd, or only fwd+bwd")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that one case may take")] = 20.0,
    json: Json = False,
) -> None:
    """Correctness only, in seconds: right, refused, or wrong with the first case. Exit code 4 when wrong."""
    from ..core.experiment.load import load_document
    from ..core.experiment.mistakes import Mistakes
    from ..core.experiment.request import Request
    from ..core.experiment.shape import shaped
    from ..core.run.environment import NoDevice, resources
    from ..core.run.execute import check_only, warm_up
    from ..core.run.plan import check_points
    from .screen import stop

    screen = people(json)
    document = read(path_of(name))
    try:
        used = resources(device, 1, None)
    except NoDevice as error:
        stop(error)
    as_written = shaped(document)
    if as_written.repeats is None:
        stop(f"{name} trains; lab verify is for experiments that check a function against a reference")
    warm_up(as_written.trial)
    preset = "verify" if "verify" in as_written.presets else None
    request = Request(
        preset=preset, sets=tuple(set_ or ()), add=(f"{CANDIDATE}={function}",), direction=direction
    )
    try:
        loaded = load_document(document, request)
    except Mistakes as mistakes:
        message = str(mistakes).replace(f"--add {CANDIDATE}={function}: ", "")
        stop(message.replace("name=./file.py:function", "./file.py:function"))
    points = check_points(loaded)
    numbered = [(number, point) for number, point in enumerate(points, 1) if case in (None, number)]
    if not numbered:
        stop(f"--case {case}: there are {len(points)} cases")
    screen.print(
        f"[name]{escape(function)}[/] · against float64 · rule: error at most twice the standard form's, and rounding"
    )
    with tempfile.TemporaryDirectory() as folder, screen.status(f"checking {len(numbered)} cases …"):
        points = [point for _, point in numbered]
        found = check_only(
            loaded, CANDIDATE, points, used, min(timeout, loaded.experiment.timeout), Path(folder)
        )
    results = [result | {"case_number": number} for (number, _), result in zip(numbered, found, strict=False)]
    if len(found) < len(numbered):
        screen.print(
            f"  stopped after {len(found)} of {len(numbered)} cases: the last failed, and the others most likely would too"
        )
    tally = {
        status: [r for r in results if r["status"] == status]
        for status in ("ok", "refused", "wrong", "failed", "timeout")
    }
    if json:
        print_json(
            {"function": function, "cases": results, **{status: len(rows) for status, rows in tally.items()}}
        )
    else:
        _print(screen, name, function, tally)
    if tally["wrong"]:
        raise typer.Exit(4)
    if not tally["ok"]:  # refusing everything is no sin, but nothing has been verified either
        screen.print("nothing was verified")
    if tally["failed"] or tally["timeout"] or not tally["ok"]:
        raise typer.Exit(1)


def _print(screen: Console, name: str, function: str, tally: dict[str, list[dict[str, object]]]) -> None:
    from ..core.experiment.schema import point_words

    words = {"ok": "right", "refused": "refused", "wrong": "WRONG", "failed": "failed", "timeout": "too slow"}
    for status, rows in tally.items():
        if not rows and status != "ok":
            continue
        first = rows[0] if rows else {}
        reason = str(first.get("reason", ""))
        if status == "refused":  # each reason once: they name what the function does not take
            reason = " · ".join(dict.fromkeys(f'"{row["reason"]}"' for row in rows))
        screen.print(
            f"  {words[status]:<8} {len(rows):>4}   {escape(reason) if status != 'ok' else ''}",
            soft_wrap=True,
        )
        if status == "refused":
            screen.print("                  not held against it", style="quiet")
        if status in ("wrong", "failed", "timeout"):
            again = shlex.join(["lab", "verify", name, function, "--case", str(first["case_number"])])
            point = point_words(dict(first["point"]))  # type: ignore[call-overload]
            screen.print(
                f"                  at {escape(point)}    again: [command]{escape(again)}[/]", soft_wrap=True
            )
    if not any(tally[status] for status in ("wrong", "failed", "timeout")) and tally["ok"]:
        timed = shlex.join(["lab", "run", name, "--add", f"mine={function}"])
        screen.print(f"with the clock: [command]{escape(timed)}[/]")
