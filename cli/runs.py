"""`lab runs`: the runs in a results folder. `remove_runs.py` removes some."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from .completion import Completing
from .options import RESULTS, Json, ResultsFolder
from .remove_runs import remove_runs
from .screen import ago, duration, err, out, print_json, stop, table

SHOWN = 50  # of thousands nobody reads more, and a table of them takes seconds


class ListUnlessRemoved(Completing):
    """`lab runs` and `lab runs softmax` list; `lab runs rm` removes."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


runs_app = typer.Typer(
    cls=ListUnlessRemoved, help="Runs: list them (lab runs softmax), or remove some (lab runs rm)."
)
runs_app.command("rm")(remove_runs)


@runs_app.command("list")
def list_runs(
    name: Annotated[str | None, typer.Argument(help="Of this experiment only")] = None,
    all_: Annotated[bool, typer.Option("--all", help=f"Not only the newest {SHOWN}")] = False,
    results: ResultsFolder = RESULTS,
    json: Json = False,
) -> None:
    """Runs in results/, the newest first: lab runs · lab runs softmax"""
    from ..core.run.folder import runs, unreadable

    for line in unreadable(results, name):
        err().print(line, markup=False, soft_wrap=True)
    found = runs(results, name)
    if json:
        print_json([run.facts | {"folder": str(run.folder)} for run in found])
        return
    if not found:
        _stop_or_hint(name, results)
        return
    rows = []
    for run in found if all_ else found[:SHOWN]:
        facts = run.facts
        note = f"{facts['label']} ({facts['preset']})" if facts["preset"] else facts["label"]
        rows.append(
            [
                run.id,
                facts["experiment"],
                ago(facts["started"]),
                duration(facts["seconds"]),
                escape(result_words(facts)),
                escape(note.strip()),
            ]
        )
    out().print(table(["run", "experiment", "when", ">took", "result", "label"], rows, shorten=4))
    if len(rows) < len(found):
        of = f" {name}" if name else ""
        err().print(f"{len(found) - len(rows):,} older: lab runs{of} --all", style="quiet")


def result_words(facts: Mapping[str, Any]) -> str:
    """What a run came to: its verdicts; or that it is not finished."""
    return str(facts.get("result") or "" if facts["status"] == "finished" else facts["status"])


def _stop_or_hint(name: str | None, results: Path) -> None:
    """Where there is no run: the command that makes one; a name that nothing is called is a mistake."""
    from ..core.experiment.discovery import experiment_files
    from ..core.run.folder import runs
    from ..core.suggest import nearest

    known = experiment_files()
    if name is not None and name not in known:
        names = {run.folder.parent.name for run in runs(results)}
        stop(f'no run of "{name}" in {results}/.{nearest(name, names | set(known))}    all: lab runs')
    of, example = (f" of {name}", name) if name else ("", "flash-attn --quick")
    err().print(
        f"no runs{of} in {results}/ yet; to make one: lab run {example}", markup=False, soft_wrap=True
    )
