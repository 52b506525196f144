"""How a finding is quoted: one sentence with its provenance, and BibTeX of lab and of the sources."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..experiment.schema import Experiment, Source
from ..safe_text import in_latex, one_line

if TYPE_CHECKING:
    from .section import Section

CITATION = Path(__file__).parent / "CITATION.cff"  # a link to the one at the root; the wheel holds a copy
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\d])")
_ARXIV = re.compile(r"arxiv:\s*((\d\d)\d\d\.\d{4,5})", re.IGNORECASE)
_ISO = re.compile(r"(\d{4})-\d\d-\d\d")


def finding(section: Section, run: Mapping[str, Any], machine: str) -> str:
    """One sentence to copy: what was found, of how many claims, and where it can be checked."""
    said = _SENTENCE.split(" ".join(section.summary))[0].strip().removesuffix(".")
    judged = sum(section.tally.values())
    day = _ISO.search(str(run.get("started", "")))
    where = [
        f"experiment {section.experiment.name}, version {section.experiment.version}",
        f"run {run['id']}" if run.get("id") else "",
        day[0] if day else "",
        *machine.split(" · "),
    ]
    of = f"{judged} claim{'' if judged == 1 else 's'} tried: {section.said}" if judged else ""
    found = "; ".join(part for part in (said, of) if part) or section.experiment.title
    return f"{found} ({', '.join(part for part in where if part)})."


def bibtex(experiment: Experiment) -> str:
    """BibTeX of lab, as CITATION.cff has it, and of every source."""
    lab = _lab()
    authors = " and ".join(f"{{{in_latex(one['name'])}}}" for one in lab["authors"])
    entries = [
        _entry(
            "software",
            "lab",
            {
                "title": f"{{{in_latex(lab['title'])}}}",
                "author": authors,
                "version": str(lab["version"]),
                "license": str(lab["license"]),
            },
        )
    ]
    entries += [_source(key, source) for key, source in experiment.sources.items()]
    return "\n\n".join(entries)


def _source(key: str, source: Source) -> str:
    from .section import address

    fields = {"title": f"{{{in_latex(source.title)}}}"}
    kind = "misc"
    if found := _ARXIV.search(source.ref):
        fields |= {"year": f"20{found[2]}", "eprint": found[1], "archiveprefix": "arXiv"}
    elif source.ref.lower().startswith(("doi:", "10.")):
        fields["doi"] = one_line(source.ref).removeprefix("doi:").removeprefix("DOI:").strip()
    elif link := address(source.ref):
        kind, fields["url"] = "online", one_line(link)
    elif source.ref:
        fields["note"] = in_latex(source.ref)
    return _entry(kind, key, fields)


def _entry(kind: str, key: str, fields: Mapping[str, str]) -> str:
    plain = unicodedata.normalize("NFKD", key).encode("ascii", "ignore").decode()
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
    return "\n".join([f"@{kind}{{{re.sub(r'[^A-Za-z0-9_:-]', '', plain) or 'source'},", *lines, "}"])


def _lab() -> dict[str, Any]:
    import yaml

    found: dict[str, Any] = yaml.safe_load(CITATION.read_text(encoding="utf-8"))
    return found
