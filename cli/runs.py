"""`lab runs`: the runs in a results folder."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from .options import RESULTS, Json, ResultsFolder
from .screen import ago, duration, err, out, print_json, table

SHOWN = 50  # of thousands nobody reads more, and a table of them takes seconds


def list_runs(
    results: ResultsFolder = RESULTS,
    all_: Annotated[bool, typer.Option("--all", help=f"All, not only the newest {SHOWN}")] = False,
    json: Json = False,
) -> None:
    """Runs in results/, the newest first."""
    from ..core.run.folder import runs, unreadable

    for line in unreadable(results):
        err().print(line, markup=False, soft_wrap=True)
    found = runs(results)
    if json:
        print_json([run.facts | {"folder": str(run.folder)} for run in found])
        return
    if not found:
        err().print(f"no runs in {results}/ yet; to make one: lab run flash-attn --quick", markup=False)
        return
    rows = []
    for run in found if all_ else found[:SHOWN]:
        facts = run.facts
        note = f"{facts['label']} ({facts['preset']})" if facts["preset"] else facts["label"]
        result = facts.get("result") or "" if facts["status"] == "finished" else facts["status"]
        rows.append(
            [
                run.id,
                facts["experiment"],
                ago(facts["started"]),
                duration(facts["seconds"]),
                escape(result),
                escape(note.strip()),
            ]
        )
    out().print(table(["run", "experiment", "when", ">took", "result", "label"], rows, shorten=4))
    if (older := len(found) - len(rows)) > 0:
        err().print(f"{older:,} older: lab runs --all")
