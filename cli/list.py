"""Looking around: `lab`, `lab list`, `lab claims`, `lab show`, `lab runs`, `lab env`. Nothing here imports torch."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from ..core.experiment.discovery import BUILT_IN, hidden, known
from ..core.experiment.document import read
from ..core.experiment.mistakes import Mistakes
from ..core.experiment.overview import overview
from ..core.suggest import nearest
from .experiment_file import path_of, say_hidden
from .screen import about, ago, duration, err, out, print_json, stop, table

Word = Annotated[str | None, typer.Argument(help="Name, paper or any word")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, nothing else")]
Results = Annotated[Path, typer.Option("--results", help="Folder that runs are written to")]

RESULTS = Path("results")


def home() -> None:
    """`lab` alone: what there is, what each asks, how long it takes here, what to type first."""
    screen = out()
    from ..core.measure.machine import usable_cores

    cores, gpu = usable_cores(), any(Path("/dev").glob("nvidia[0-9]*"))
    machine = f"CPU, {cores} core{'s' if cores > 1 else ''}, {'a GPU' if gpu else 'no GPU'}"
    screen.print(f"[name]lab[/] · claims from ML papers, tried on this machine    [quiet]{machine}[/]\n")
    screen.print(table(["experiment", "asks", ">claims", ">took here"], _rows(_experiments(None)), shorten=1))
    screen.print(
        "\nby paper or word: [command]lab list WORD[/]    all claims: [command]lab claims[/]"
        "\nstart with: [command]lab run flash-attn[/]    all commands: [command]lab --help[/]"
    )


def list_experiments(
    word: Word = None,
    format: Annotated[str, typer.Option(help="table or markdown")] = "table",
    json: Json = False,
) -> None:
    """Experiments: by name, paper or word: lab list milakov"""
    if format not in ("table", "markdown"):
        stop(f"--format {format}: table or markdown")
    if format == "markdown":
        out().print(markdown_table(), markup=False, soft_wrap=True)
        return
    found = list(_experiments(word))
    if json:
        keys = ("name", "title", "question", "sources")
        print_json(
            [
                {key: data.get(key) for key in keys} | {"claims": len(data.get("claims") or [])}
                for data in found
            ]
        )
        return
    if not found:
        stop(f"nothing about {word}.{nearest(word or '', known())}    all: lab list", code=0)
    out().print(table(["experiment", "asks", ">claims", ">took here"], _rows(found), shorten=1))


def markdown_table() -> str:
    """The built-in experiments as the README shows them."""
    lines = ["| experiment | asks | claims | sources |", "|:-|:-|-:|:-|"]
    for path in sorted(BUILT_IN.glob("*.yaml")):
        data = read(path).data
        sources = ", ".join(
            source.get("ref") or source["title"] for source in data.get("sources", {}).values()
        )
        lines.append(f"| `{data['name']}` | {data['question']} | {len(data['claims'])} | {sources} |")
    return "\n".join(lines)


def list_claims(word: Word = None, json: Json = False) -> None:
    """Claims of all experiments: what a source says, and where."""
    claims = [(data, claim) for data in _experiments(None) for claim in data.get("claims") or []]
    if word:
        claims = [(data, claim) for data, claim in claims if word.lower() in _text(claim, data).lower()]
    if json:
        print_json([{"experiment": data["name"], **claim} for data, claim in claims])
        return
    if not claims:
        stop(f"no claim about {word}    all: lab claims", code=0)
    rows = [
        [
            escape(data["name"]),
            escape(claim["says"]),
            escape(str(claim.get("paper", ""))),
            escape(_place(claim, data)),
        ]
        for data, claim in claims
    ]
    out().print(table(["experiment", "claim", "paper", "source"], rows, shorten=(1, 3)))


def show(
    name: Annotated[str, typer.Argument(help="Name of an experiment, or a file")],
    results: Results = RESULTS,
    json: Json = False,
) -> None:
    """One experiment: question, sources, variants, grid, how many trials, how long it took last time.

    Imports, and so executes, the Python file named in the experiment's trial: line.
    """
    from ..core.experiment.load import load_document
    from ..core.experiment.request import Request
    from ..core.run.folder import newest
    from ..core.run.plan import plan

    loaded = load_document(read(path_of(name)), Request())
    experiment, trials = loaded.experiment, plan(loaded)
    kinds = {kind: sum(trial.kind == kind for trial in trials) for kind in ("check", "time", "train")}
    last = newest(results, experiment.name, full=True, finished=True)
    took = float(last.facts["seconds"]) if last is not None else None
    if json:
        print_json(experiment.model_dump(mode="json") | {"trials": kinds, "took": took})
        return
    screen = out()
    screen.print(f"[name]{experiment.name}[/] · {escape(experiment.title)}\n{escape(experiment.question)}\n")
    for source in experiment.sources.values():
        screen.print(f"  source    {escape(source.title)}  [quiet]{escape(source.ref)}[/]")
    for tier, names in experiment.tiers.items():
        screen.print(
            f"  variants  {escape(', '.join(names))}" + (f"  [quiet]{escape(tier)}[/]" if tier else "")
        )
    for label, grid in (("axis", experiment.axes), *(("checked", grid) for grid in experiment.checks)):
        for axis, values in grid.items():
            screen.print(
                f"  {label:<9} {escape(axis)}: {escape(', '.join(_plain(value) for value in values))}"
            )
    for key, value in experiment.params.items():
        screen.print(f"  fixed     {escape(key)}: {escape(_plain(value))}")
    words = {"check": "checks", "time": "timing processes", "train": "training trials"}
    counted = " + ".join(f"{count} {words[kind]}" for kind, count in kinds.items() if count)
    screen.print(
        f"  trials    {counted}, {'took ' + duration(took) + ' last time' if took else 'not run here yet'}"
    )
    screen.print(f"  presets   {escape(', '.join(experiment.presets)) or 'none'}")
    screen.print()
    rows = [
        [escape(claim.says), escape(str(claim.paper or "")), escape(claim.source)]
        for claim in experiment.claims
    ]
    screen.print(table(["claim", "paper", "source"], rows, shorten=0))
    again = escape(shlex.join(["lab", "run", name]))
    screen.print(f"\nnext  [command]{again}[/] · [command]{again} --quick[/]")


def list_runs(results: Results = RESULTS, json: Json = False) -> None:
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
    for run in found:
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


def env(
    peaks: Annotated[
        bool, typer.Option(help="Measure PyTorch's matrix product and a copy (a few seconds)")
    ] = True,
    threads: Annotated[int, typer.Option(min=1, help="Threads to measure with")] = 1,
    json: Json = False,
) -> None:
    """Machine, versions, threads, load, and how fast PyTorch's matrix product and a copy are here."""
    from ..core.measure.threads import thread_environment

    os.environ.update(thread_environment(threads))  # before torch is imported
    from ..core.measure.load import load_note
    from ..core.measure.machine import machine_facts

    busy = load_note(threads)
    facts = machine_facts() | {"threads": threads, "busy": busy}
    if peaks:
        with err().status("measuring a matrix product and a copy …"):
            from dataclasses import asdict

            from ..core.measure.peaks import measure_peaks
            from ..core.measure.threads import use_threads

            use_threads(threads)
            facts["peaks"] = asdict(measure_peaks())
    if json:
        print_json(facts)
        return
    rows = [
        [escape(key.replace("_", " ")), escape(_fact(key, value))]
        for key, value in facts.items()
        if value not in (None, [], {})
    ]
    out().print(table(["", ""], rows, shorten=1))


def _fact(name: str, value: Any) -> str:
    """A fact about the machine, for people."""
    from ..core.analysis import digits

    if name in ("memory", "memory_available", "last_level_cache", "copy_bytes", "size"):
        return digits.format(float(value), unit="B")
    if name == "caches":
        return ", ".join(f"{one['name']} {_fact('size', one['size'])} x {one['count']}" for one in value)
    if isinstance(value, dict):
        return ", ".join(f"{k.replace('_', ' ')} {_fact(k, v)}" for k, v in value.items() if v is not None)
    if isinstance(value, list):
        return ", ".join(_fact("", inner) for inner in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.1f}" if isinstance(value, float) else _plain(value)


def _plain(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _experiments(word: str | None) -> Iterator[dict[str, Any]]:
    """The bare data of every experiment in which the word stands; a file that cannot be read is named, not fatal."""
    for name in hidden():
        say_hidden(name, known()[name])
    for path in known().values():
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


def _rows(experiments: Iterator[dict[str, Any]] | list[dict[str, Any]]) -> Iterator[list[str]]:
    from ..core.run.folder import newest

    for data in experiments:
        run = newest(RESULTS, data["name"], full=True, finished=True)
        took = about(float(run.facts["seconds"])) if run is not None else ""
        yield [
            f"[name]{escape(data['name'])}[/]",
            escape(str(data.get("question", ""))),
            str(len(data.get("claims") or [])),
            took,
        ]


def _text(claim: dict[str, Any], data: dict[str, Any]) -> str:
    return f"{data['name']} {claim} {_place(claim, data)}"


def _place(claim: dict[str, Any], data: dict[str, Any]) -> str:
    """`arXiv:1805.02867, §3`: the source as one can look it up."""
    key, _, where = str(claim.get("source", "")).partition(",")
    source = (data.get("sources") or {}).get(key.strip()) or {}
    return f"{source.get('ref') or key},{where}" if where else str(source.get("ref") or key)
