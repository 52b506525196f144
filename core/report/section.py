"""The section of one experiment in the report, as plain data for the templates."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..analysis import digits
from ..analysis.verdicts import Verdict, by_chance
from ..experiment.schema import Experiment
from ..measure.ceiling import peak_words
from ..measure.fastest_products import in_words
from ..safe_text import csv_of, one_line
from ..trial import HeatMap, SearchTree, TwoCuts
from . import citation, svg, words
from .answers import Answers, answers
from .cuts import Drawing, drawing
from .heat_maps import HeatMaps, heat_maps
from .privacy import command_without_secrets, is_private, scrub
from .table import Table, tables
from .trees import TreeDrawing, tree_drawing

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

    from .page import Page

# What a person has to see first; what a run says nothing of comes last.
ORDER = (
    "fails here",
    "unclear",
    "preview",
    "not trained enough",
    "holds",
    words.OTHER_DEVICE,
    words.NOT_TESTED,
)
THRESHOLDS = {"ours": "us", "paper": "the source", "arithmetic": "arithmetic"}


@dataclass(frozen=True)
class Source:
    title: str
    ref: str
    href: str


@dataclass(frozen=True)
class Figure:
    """A plot: its markup, the name of its files, the PDF as a data URL (the page's script makes the others), the PNG's place."""

    svg: Markup
    name: str
    pdf: Markup | None
    png: Path
    title: str


@dataclass(frozen=True)
class Judged:
    """A row of the claims table: the verdict, and what of it needs the experiment to be said."""

    verdict: Verdict
    source: str
    section: str
    paper: str
    measured: str
    by: str


@dataclass(frozen=True)
class Section:
    """All that is said about one run."""

    id: str
    name: str
    experiment: Experiment
    sources: list[Source]
    facts: list[str]
    tally: dict[str, int]
    said: str
    chance: str
    summary: list[str]
    warnings: Sequence[str]
    figures: list[Figure]
    samples: Mapping[str, Sequence[tuple[int, str]]]
    answers: Answers | None
    drawings: list[Drawing]
    trees: list[TreeDrawing]
    heat_maps: list[HeatMaps]
    claims: list[Judged]  # those that the run judged, as in ORDER
    untested: list[Judged]
    tables: list[Table]
    environment: list[tuple[str, str]]
    command: Markup
    downloads: list[tuple[str, str, Markup]]
    finding: str = ""
    bibtex: str = ""


def sections(pages: Sequence[Page]) -> list[Section]:
    """One section per page, in their order, with ids that differ even when two runs are of one experiment."""
    names = [page.experiment.name for page in pages]
    found = []
    for number, (page, name) in enumerate(zip(pages, names, strict=True), 1):
        alone = names.count(name) == 1
        full = name if alone else f"{name}, run {page.run.get('id', number)}"
        found.append(_section(page, name if alone else f"{name}-{number}", full))
    return found


def _section(page: Page, id: str, name: str) -> Section:
    from markupsafe import Markup

    experiment, verdicts = page.experiment, page.verdicts
    tally = words.tally(verdict.word for verdict in verdicts)
    drawn = {each: _of(variants, experiment) for each, variants in page.drawn.items()}
    claims = sorted(
        (_judged(verdict, experiment) for verdict in verdicts),
        key=lambda claim: ORDER.index(words.family(claim.verdict.word)),
    )
    section = Section(
        id=id,
        name=name,
        experiment=experiment,
        sources=[Source(s.title, s.ref, address(s.ref)) for s in experiment.sources.values()],
        facts=_facts(page.run, experiment),
        tally=tally,
        said=words.counted_words(tally),
        chance=by_chance(verdicts),
        summary=[line for line in page.summary.splitlines() if line.strip()],
        warnings=page.warnings,
        figures=[_figure(path, f"{id}-{number}") for number, path in enumerate(page.plots, 1)],
        samples=page.samples,
        answers=answers(page.samples),
        drawings=[drawing(each, of) for each, of in drawn.items() if isinstance(each, TwoCuts)],
        trees=[tree_drawing(each, of) for each, of in drawn.items() if isinstance(each, SearchTree)],
        heat_maps=heat_maps({each: of for each, of in drawn.items() if isinstance(each, HeatMap)}),
        claims=[claim for claim in claims if claim.verdict.word != words.NOT_TESTED],
        untested=[claim for claim in claims if claim.verdict.word == words.NOT_TESTED],
        tables=tables(experiment, page.comparison),
        environment=facts(page.environment),
        command=Markup(Markup.escape(one_line(command_without_secrets(str(page.run.get("command", "")))))),
        downloads=_downloads(page.comparison, verdicts, id),
    )
    quoted = citation.finding(section, page.run, machine(page.environment))
    return replace(section, finding=quoted, bibtex=citation.bibtex(experiment))


def _of(variants: Sequence[str], experiment: Experiment) -> str:
    """Which variants keep a drawing; empty where all do."""
    return "" if set(variants) >= set(experiment.variants) else ", ".join(variants)


def _judged(verdict: Verdict, experiment: Experiment) -> Judged:
    return Judged(
        verdict=verdict,
        source="our question" if verdict.source == "ours" else words.title_of(verdict.source, experiment),
        section=words.section(verdict.source),
        paper=words.quoted(verdict.paper, verdict.measure, verdict.unit),
        measured=words.measured_as(verdict),
        by=THRESHOLDS.get(verdict.threshold, verdict.threshold),
    )


def _figure(path: Path, prefix: str) -> Figure:
    from markupsafe import Markup

    pdf = path.with_suffix(".pdf")
    drawn = scrub(path.read_text(encoding="utf-8"))
    return Figure(
        Markup(svg.inline(drawn, prefix, path.stem)),
        path.stem,
        data_url(pdf.read_bytes(), "application/pdf") if pdf.exists() else None,
        path.with_suffix(".png"),
        path.stem.replace("-", " "),
    )


def _facts(run: Mapping[str, Any], experiment: Experiment) -> list[str]:
    """The line below a title: which run this is, when, how long, how much."""
    noun = "seeds" if experiment.seeds is not None else "processes per point"
    started, seconds = str(run.get("started", "")), run.get("seconds")
    status = str(run.get("status", ""))
    found = [
        f"run {run['id']}" if run.get("id") else "",
        str(run.get("label") or ""),
        day(started),
        f"took {duration(float(seconds))}" if seconds is not None else "",
        f"preset {run['preset']}" if run.get("preset") else "",
        f"{experiment.replicates} {noun}",
        status if status not in ("done", "complete", "finished", "ok") else "",
    ]
    return [fact for fact in found if fact]


def _downloads(
    comparison: pd.DataFrame, verdicts: Sequence[Verdict], id: str
) -> list[tuple[str, str, Markup]]:
    from ..analysis.verdicts import claims_table

    claims = json.loads(claims_table(verdicts).to_json(orient="records"))
    return [
        (
            "comparison, CSV",
            f"{id}-comparison.csv",
            data_url(_bytes(csv_of(_rounded(_with_figures(comparison)))), "text/csv"),
        ),
        (
            "claims, JSON",
            f"{id}-claims.json",
            data_url(_bytes(json.dumps(claims, indent=1)), "application/json"),
        ),
    ]


def _with_figures(table: pd.DataFrame) -> pd.DataFrame:
    """Without what was not asked for or was refused at a point; the page says so in words."""
    return table[table["estimate"].notna() | ~table["status"].isin(["ok", "missing", "refused"])]


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    """To seven digits: half the bytes, and more than any of these figures has."""
    floats = table.select_dtypes("float")
    return table.assign(**{str(name): floats[name].map(lambda x: float(f"{x:.7g}")) for name in floats})


def _bytes(text: str) -> bytes:
    return scrub(text).encode(errors="backslashreplace")


def data_url(content: bytes, type: str) -> Markup:
    from markupsafe import Markup

    return Markup(f"data:{type};base64,{base64.b64encode(content).decode()}")


def address(ref: str) -> str:
    """Where a source can be read; empty for what is no known kind of reference, so nothing else becomes a link."""
    scheme, _, rest = ref.partition(":")
    match scheme.lower():
        case "http" | "https":
            return ref
        case "arxiv":
            return f"https://arxiv.org/abs/{rest.strip()}"
        case "doi":
            return f"https://doi.org/{rest.strip()}"
    return f"https://doi.org/{ref}" if ref.startswith("10.") and "/" in ref else ""


def machine(environment: Mapping[str, Any]) -> str:
    """A machine in one line: its processor, what of it was used, and the versions that can change a number."""
    packages = environment.get("packages") or {}
    torch = environment.get("torch") or packages.get("torch")
    threads = environment.get("threads")
    device = str(environment.get("device", ""))
    name = environment.get("device_name") or environment.get("cpu")
    found = [
        str(name or ""),
        {"cpu": "CPU", "cuda": "CUDA"}.get(device, device),
        f"{threads} thread{'' if threads == 1 else 's'}" if threads else "",
        f"torch {torch}" if torch else "",
        str(environment.get("os") or ""),
        f"lab {packages['paperlab']}" if "paperlab" in packages else "",
    ]
    return " · ".join(fact for fact in found if fact)


def facts(environment: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The environment as lines of name and value, without what is unknown or private."""
    apart = "peaks", "products"
    found = [
        (words.human(key), said)
        for key, value in environment.items()
        if key not in apart and not is_private(key) and (said := _flat(value, key))
    ]
    multiplied = in_words(environment.get("products") or {})
    return [*found, *peak_words(environment.get("peaks") or {}), *multiplied.items()]


def _flat(value: Any, key: str = "") -> str:
    if isinstance(value, Mapping):
        said = {name: _flat(part, str(name)) for name, part in value.items() if not is_private(str(name))}
        return ", ".join(f"{words.human(str(name))} {text}" for name, text in said.items() if text)
    if isinstance(value, list | tuple):
        return ("; " if any(isinstance(part, Mapping) for part in value) else ", ").join(map(_flat, value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        in_bytes = key.startswith("memory") or key in ("size", "last_level_cache")
        return digits.format(float(value), unit="B") if in_bytes else words.value_words(value)
    return words.value_words(value)


def day(iso: str) -> str:
    """`22 Nov 2026, 20:42 UTC`; what is no date stays as it is."""
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    return moment.strftime("%d %b %Y, %H:%M").lstrip("0") + " UTC"


def duration(seconds: float) -> str:
    """`42 s`, `4 min 10 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
