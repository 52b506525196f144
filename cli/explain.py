"""`lab explain EXPERIMENT/CLAIM`: the reasoning behind one verdict."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.markup import escape
from rich.table import Table as Grid

from ..core.suggest import nearest
from .claim_lines import no_interval
from .hints import again, settling
from .options import RESULTS, Json, ResultsFolder
from .overviews import experiments
from .pager import paged
from .runs_to_show import run_called, runs_to_show
from .screen import ago, out, print_json, stop, styled_word, table

if TYPE_CHECKING:
    from ..core.analysis.replicates import Replicates
    from ..core.analysis.verdicts import Verdict
    from ..core.experiment.schema import Experiment, Measure
    from ..core.run.results import Results

SET_BY = {"ours": "a bound of ours", "paper": "the source's bound", "arithmetic": "a bound by arithmetic"}


def explain(
    claim: Annotated[
        str, typer.Argument(metavar="EXPERIMENT/CLAIM", help="A claim by the id that tables show")
    ],
    run: Annotated[
        str | None, typer.Option(help="By this run, by its letters, instead of the newest full one")
    ] = None,
    json: Json = False,
    results: ResultsFolder = RESULTS,
) -> None:
    """The reasoning behind one verdict: source, measure, bound, every replicate, what would settle it.

    lab explain softmax/rescaled-faster
    """
    name, _, wanted = claim.rpartition("/")
    if not name:
        _stop_without_claim(claim, results)
    from .run_results import first_readable

    judged = first_readable([run_called(name, run, results)] if run else runs_to_show(name, results))
    verdict = next((one for one in judged.verdicts if one.claim == wanted), None)
    if verdict is None:
        known = [one.claim for one in judged.verdicts]
        stop(
            f"no claim {wanted} in run {judged.run.id} of {name}.{nearest(wanted, known)}    all: lab claims {name}"
        )
    measure = next(one.measure for one in judged.experiment.claims if one.id == wanted)
    replicates = _replicates(judged, measure, dict(verdict.point)) if verdict.here else None
    if json:
        print_json(_data(judged, verdict, replicates))
        return
    with paged(out()) as screen:
        screen.print(
            f"[name]{escape(judged.experiment.name)}/{verdict.claim}[/] · {styled_word(verdict.word)}"
            f" · run {judged.run.id}, {ago(judged.facts['started'])}\n"
        )
        screen.print(f"{escape(verdict.says)}\n")
        grid = Grid.grid(padding=(0, 2, 0, 0))
        grid.add_column(style="quiet", no_wrap=True)
        grid.add_column(overflow="fold")
        for key, words in _said(judged, verdict):
            grid.add_row(key, escape(words))
        screen.print(grid)
        if replicates is not None:
            screen.print()
            screen.print(_figures(judged, verdict, replicates))
        screen.print()
        commands = {"settle it": settling(verdict, judged), "run again": again(judged.run)}
        for key, command in commands.items():
            if command:
                screen.print(f"[quiet]{key}[/]  [command]{escape(command)}[/]", soft_wrap=True)


def _replicates(judged: Results, measure: Measure, point: dict[str, Any]) -> Replicates | None:
    """Those that the verdict was made of: up to the last look, times without the processes whose machine was busy with
    something else."""
    from ..core.analysis.replicates import replicates

    tables = [judged.values, judged.curves]
    if (look := judged.conditions.look) is not None:
        tables = [table[table["replicate"] < look.n] if len(table) else table for table in tables]
    if judged.conditions.busy and judged.experiment.metrics[measure.metric].kind == "timed":
        values, keys = tables[0], judged.experiment.point_keys
        busy = [
            (tuple(row[key] for key in keys), row["replicate"]) in judged.conditions.busy
            for row in values.to_dict("records")
        ]
        tables[0] = values[[not each for each in busy]]
    return replicates(measure, tables[0], tables[1], point)


def _stop_without_claim(word: str, results: Path) -> NoReturn:
    """End the command; name the claims of that experiment, or the experiments that have a claim of that name."""
    from ..core.run.folder import first
    from ..core.run.opening import experiment_of

    ids = {
        data["name"]: [claim.get("id", "") for claim in data.get("claims") or []]
        for data in experiments(None)
    }
    if (run := first(results, word)) is not None:
        ids[word] = [claim.id for claim in experiment_of(run).claims]
    if word in ids:
        stop(f"which claim of {word}? lab explain {word}/CLAIM, with one of\n{', '.join(ids[word])}")
    if full := [f"{name}/{word}" for name, claims in ids.items() if word in claims]:
        stop(f"lab explain EXPERIMENT/CLAIM: {' or '.join(full)}")
    stop(f'no experiment "{word}".{nearest(word, ids)}    a claim: lab explain EXPERIMENT/CLAIM')


def _said(judged: Results, verdict: Verdict) -> Iterator[tuple[str, str]]:
    """The lines above the figures; what a claim lacks has none."""
    from ..core.report.words import LETTERS, MARKS, family, measured_as, quoted

    yield "source", _source(verdict.source, judged.experiment)
    if verdict.paper is not None:
        yield "paper", quoted(verdict.paper, verdict.measure, verdict.unit)
    yield "measure", measured_as(verdict) + (f", {LETTERS[verdict.letter]}" if verdict.letter else "")
    yield "expected", f"{verdict.expected}: {SET_BY[verdict.threshold]}"
    if verdict.needs:
        yield "needs", verdict.needs
    if verdict.here:
        yield "here", f"{verdict.here}{_figure_behind(verdict)}{_how_sure(judged, verdict)}"
    means = MARKS[family(verdict.word)].means.partition(";")[0]
    if verdict.letter == "C":
        means = means.replace("interval lies wholly", "figure lies")
    yield "verdict", "; ".join(part for part in (f"{verdict.word}: {means}", verdict.detail) if part)
    for key, parts in (("differs", verdict.differences), ("note", [verdict.note] if verdict.note else [])):
        for at, part in enumerate(parts):
            yield key if at == 0 else "", part


def _source(source: str, experiment: Experiment) -> str:
    """The title, the place in it and its address: what one looks up."""
    from ..core.report.words import section, title_of

    ref = (
        experiment.sources[key].ref if (key := source.partition(",")[0].strip()) in experiment.sources else ""
    )
    title = "a claim of ours" if source == "ours" else title_of(source, experiment)
    return ", ".join(part for part in (title, section(source), ref) if part)


def _figure_behind(verdict: Verdict) -> str:
    """The figure, where words stand in its place: `worse than no teacher`."""
    from ..core.analysis import digits

    if verdict.interval is None or any(letter.isdigit() for letter in verdict.here):
        return ""
    found = verdict.interval
    return f": {digits.format(found.estimate, *found.printed, verdict.unit, kind=verdict.measure)}"


def _how_sure(judged: Results, verdict: Verdict) -> str:
    if verdict.letter == "C":
        return ", counted: no interval"
    noun = judged.experiment.noun
    if few := no_interval(verdict.replicates, noun):
        return f" ({few})"
    level = f", interval at {verdict.interval.level:.1%}" if verdict.interval else ""
    return f"{level} over {verdict.replicates} {noun}s"


def _figures(judged: Results, verdict: Verdict, replicates: Replicates) -> Grid:
    """Every replicate's figures, and what they come to."""
    from ..core.analysis import digits

    unit = judged.experiment.metrics[verdict.metric].unit
    noun = judged.experiment.noun
    head = [
        f">{noun}",
        *(f">{name}" for name in replicates.columns),
        *([f">{replicates.result}"] if replicates.result else []),
    ]
    rows = []
    for at, figures in replicates.rows.items():
        cells = [digits.format(figure, unit=unit) for figure in figures]
        if replicates.results is not None:
            own = "" if verdict.measure == "ratio" else unit
            cells.append(digits.format(replicates.results[at], unit=own, kind=verdict.measure))
        rows.append(["" if verdict.letter == "C" else str(at + 1), *cells])
    return table(head if verdict.letter != "C" else ["", *head[1:]], rows)


def _data(judged: Results, verdict: Verdict, replicates: Replicates | None) -> dict[str, Any]:
    from .run_results import claim_data

    figures = [] if replicates is None else [
        {"replicate": at, "figures": dict(zip(replicates.columns, row, strict=True))}
        | ({"result": replicates.results[at]} if replicates.results is not None else {})
        for at, row in replicates.rows.items()
    ]  # fmt: skip
    return {
        "experiment": judged.experiment.name,
        "run": judged.run.id,
        **claim_data(verdict),
        "cited": _source(verdict.source, judged.experiment),
        "figures": figures,
        "settle": settling(verdict, judged),
        "again": again(judged.run),
    }
