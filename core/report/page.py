"""The report: one HTML file that needs nothing else, and the same in Markdown."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..analysis.verdicts import Verdict
from ..atomic import write
from ..experiment.schema import Experiment
from ..safe_text import in_markdown, visible
from ..trial import Drawn
from . import words
from .privacy import scrub
from .section import machine, sections
from .table import Row, Table

if TYPE_CHECKING:
    import jinja2
    import pandas as pd

HERE = Path(__file__).parent
_LINE_ENDS = re.compile(r"\r\n?|\n")  # as Markdown has them


@dataclass(frozen=True)
class Page:
    """One run of one experiment, ready to be written about.

    Attributes:
        experiment: as it ran.
        run: what run.json says (id, started, seconds, preset, label, status, counts, command).
        environment: what environment.json says.
        comparison, verdicts: as core/analysis makes them.
        summary: sentences, already filled in.
        plots: SVG files, the PNG and the PDF of each beside it.
        warnings: what makes the numbers less certain: a busy machine, a control that is off.
        samples: text that trainings have kept, (step, text) by variant.
        drawn: texts as two tokenizers cut them, search trees and heat maps, and the variants that keep each.
    """

    experiment: Experiment
    run: Mapping[str, Any]
    environment: Mapping[str, Any]
    comparison: pd.DataFrame
    verdicts: Sequence[Verdict]
    summary: str
    plots: Sequence[Path]
    warnings: Sequence[str]
    samples: Mapping[str, Sequence[tuple[int, str]]] = field(default_factory=dict)
    drawn: Mapping[Drawn, Sequence[str]] = field(default_factory=dict)


def write_report(pages: Sequence[Page], folder: Path, name: str = "report") -> tuple[Path, Path]:
    """Write `folder/report.html` and `folder/report.md`; each replaces the old one at once."""
    html, markdown = folder / f"{name}.html", folder / f"{name}.md"
    write_pages(pages, html, markdown)
    return html, markdown


def write_pages(pages: Sequence[Page], *files: Path) -> None:
    """Write each file, as HTML or as Markdown by its suffix; each replaces the old one at once."""
    found = sections(pages)
    context = {
        "sections": found,
        "totals": {name: sum(section.tally.get(name, 0) for section in found) for name in words.MARKS},
        "machines": list(dict.fromkeys(machine(page.environment) for page in pages)),
        "written": datetime.now(UTC).strftime("%d %b %Y").lstrip("0"),
        "marks": words.MARKS,
        "terms": words.TERMS,
        "how_to_read": words.HOW_TO_READ,
        "letters": words.LETTERS,
        "family": words.family,
        "is_folded": is_folded,
        "folded": folded,
    }
    for file in files:
        beside = {"beside": lambda plot, folder=file.parent: _beside(plot, folder)}
        if file.suffix == ".md":
            template = _environment(_for_markdown, escape=False).get_template("report.md")
        else:
            template = _environment(_for_html).get_template("report.html")
        file.parent.mkdir(parents=True, exist_ok=True)
        write(file, template.render(context | beside))


def folded(table: Table) -> list[tuple[str, Row]]:
    """The rows of a table that are folded, those that say the same at the same point as one: whose they are, and the row."""
    found: dict[tuple[str, ...], tuple[list[str], Row]] = {}
    for row in (row for tier in table.tiers for row in tier.rows if is_folded(row)):
        says = (row.status, row.reason, *(cell.text for cell in row.point))
        found.setdefault(says, ([], row))[0].append(row.variant)
    return [(", ".join(dict.fromkeys(variants)), row) for variants, row in found.values()]


def is_folded(row: Row) -> bool:
    """Whether a row of a table says no more than that there is nothing to see."""
    return row.status == "refused" or row.status == "ok" and not any(cell.text for cell in row.cells)


@cache
def _environment(finalize: Any, escape: bool = True) -> jinja2.Environment:
    """Templates from this folder. `finalize` sees every value that a template prints, so nothing slips by it."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=escape,
        finalize=finalize,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals["zip"] = zip
    environment.filters["raw"] = Markup
    environment.filters["short"] = lambda key: f"{key:.6g}" if isinstance(key, float) else key
    environment.filters["indented"] = lambda text: Markup(
        "\n".join(" " * 6 + visible(line) for line in _LINE_ENDS.split(scrub(text)))
    )
    environment.filters["unescaped"] = lambda markup: Markup(markup.unescape())
    environment.globals["file"] = lambda name: Markup(_file(name))
    environment.globals["digest"] = lambda name: Markup(_digest(name))
    return environment


def _for_html(value: object) -> object:
    """Plain text loses its home folders (and is escaped after this); markup of ours stays as it is."""
    return visible(scrub(value)) if type(value) is str else value


def _for_markdown(value: object) -> object:
    if type(value) is not str:
        return value
    return in_markdown(scrub(value))


def _file(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _digest(name: str) -> str:
    """What the page's security policy knows a script by: it stands between two line ends."""
    return base64.b64encode(hashlib.sha256(f"\n{_file(name)}\n".encode()).digest()).decode()


def _beside(path: Path, folder: Path) -> str:
    """A plot's address as seen from the report; none when it lies elsewhere, which might name somebody's folders."""
    address = Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    return "" if address.startswith("..") or Path(address).is_absolute() else address
