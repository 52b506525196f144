"""The experiments that `lab`, `lab list` and `lab claims` show: bare data, without the schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rich.markup import escape
from rich.table import Table

from ..core.experiment.discovery import experiment_files, hidden
from ..core.experiment.document import read
from ..core.experiment.mistakes import Mistakes
from ..core.experiment.overview import overview
from .experiment_file import print_hidden
from .options import results_folder
from .screen import about, err, table


def experiments(word: str | None) -> Iterator[dict[str, Any]]:
    """The bare data of every experiment in which the word stands; a file that cannot be read is named, not fatal."""
    for name in hidden():
        print_hidden(name, experiment_files()[name])
    for path in experiment_files().values():
        try:
            data = overview(read(path))
        except Mistakes as mistakes:
            err().print(str(mistakes), markup=False)
            continue
        if (
            not word
            or word.lower()
            in str({key: data.get(key) for key in ("name", "title", "question", "sources", "claims")}).lower()
        ):
            yield data


def experiments_table(found: Iterable[dict[str, Any]]) -> Table:
    """Experiments with their questions, counts of claims and minutes of the newest full run."""
    from ..core.run.folder import newest

    rows = []
    for data in found:
        run = newest(results_folder(), data["name"], full=True, finished=True)
        took = about(float(run.facts["seconds"])) if run is not None else ""
        rows.append(
            [
                f"[name]{escape(data['name'])}[/]",
                escape(str(data.get("question", ""))),
                str(len(data.get("claims") or [])),
                took,
            ]
        )
    return table(["experiment", "asks", ">claims", ">took here"], rows, shorten=1)
