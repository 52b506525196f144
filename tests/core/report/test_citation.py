"""What is quoted can be found again."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.core.experiment.discovery import experiment_files
from lab.core.experiment.load import load
from lab.core.report import citation

ENTRY = re.compile(r"@(\w+)\{([\w:-]+),\n((?:  [a-z]+ = \{.*\},\n)+)\}")


def entries(bibtex: str) -> dict[str, dict[str, str]]:
    """What a reader of BibTeX sees; nothing may be left between the entries."""
    assert not ENTRY.sub("", bibtex).strip()
    return {
        key: {"": kind} | dict(re.findall(r"  ([a-z]+) = \{(.*)\},\n", fields))
        for kind, key, fields in ENTRY.findall(bibtex)
    }


def test_lab_is_cited_as_its_citation_file_says() -> None:
    root = Path(__file__).resolve().parents[3] / "CITATION.cff"
    assert citation.CITATION.read_bytes() == root.read_bytes()
    said = yaml.safe_load(root.read_text())
    lab = entries(citation.bibtex(load(str(experiment_files()["grpo"])).experiment))["lab"]
    assert lab["title"] == f"{{{said['title']}}}" and lab["version"] == said["version"]
    assert all(author["name"] in lab["author"] for author in said["authors"])


@pytest.mark.parametrize("name", sorted(experiment_files()))
def test_every_source_has_an_entry_that_leads_to_it(name: str) -> None:
    experiment = load(str(experiment_files()[name])).experiment
    found = entries(citation.bibtex(experiment))
    assert set(found) == {"lab", *experiment.sources}
    for key, source in experiment.sources.items():
        where = found[key].get("eprint") or found[key].get("doi") or found[key].get("url", "")
        assert where and where in source.ref


def test_no_sign_in_a_title_means_anything_in_bibtex(make_timed: Callable[..., Any]) -> None:
    sources = {
        "a b{ü}": {"title": "50% of {x}_1 & \\y #2", "ref": "doi:10.1/x"},
        "book": {"title": "A book", "ref": "Springer & Sons, 2006"},
    }
    seen = make_timed(sources=sources, claims=[])
    found = entries(citation.bibtex(seen.experiment))
    assert found["abu"] == {
        "": "misc",
        "title": r"{50\% of \{x\}\_1 \& \textbackslash{}y \#2}",
        "doi": "10.1/x",
    }
    assert found["book"]["note"] == r"Springer \& Sons, 2006"
