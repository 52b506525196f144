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
from .claim_lines import cut
from .experiment_file import print_hidden
from .options import results_folder
from .screen import GAP, NARROWEST, about, err, table


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


def experiments_table(found: Iterable[dict[str, Any]], width: int | None = None) -> Table:
    """Experiments with their questions, counts of claims, and how long each takes here: the newest full run took; before the
    first one `~`, what its file leads one to expect. Long questions are cut to a line where a `width` is given."""
    from ..core.measure.machine import cpu_model, usable_cores
    from ..core.run.estimate import measured_peak, seconds_by_file
    from ..core.run.folder import newest

    peak, cores = measured_peak(results_folder(), cpu_model()), usable_cores()
    rows, found = [], list(found)
    head = ["experiment", "asks", ">claims", ">takes here"]
    others = max(len(data["name"]) for data in found) + sum(map(len, head[2:])) - 2 + 3 * GAP if found else 0
    for data in found:
        asks = str(data.get("question", ""))
        run = newest(results_folder(), data["name"], full=True, finished=True)
        seconds = seconds_by_file(data, peak, cores)
        took = f"~{about(seconds)}" if seconds else ""
        rows.append(
            [
                f"[name]{escape(data['name'])}[/]",
                escape(asks if width is None else cut(asks, max(width - others, NARROWEST))),
                str(len(data.get("claims") or [])),
                took if run is None else about(float(run.facts["seconds"])),
            ]
        )
    return table(head, rows, shorten=1)
