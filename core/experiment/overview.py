"""The part of an experiment file that lists show, without the schema: importing that takes longer than the list."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .document import Document, Keys
from .mistakes import Mistake, Mistakes

NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


def overview(document: Document) -> dict[str, Any]:
    """The bare data, with a name, a title, a question, sources and claims that can be shown.

    Raises Mistakes: one of these has another shape; `lab validate` tells the rest.
    """
    data = {
        "name": document.path.stem,
        "title": "",
        "question": "",
        "sources": {},
        "claims": [],
    } | document.data
    if mistakes := [Mistake(document.mark(keys), what) for keys, what in _misshapen(data)]:
        raise Mistakes(mistakes)
    return data


def _misshapen(data: dict[str, Any]) -> Iterator[tuple[Keys, str]]:
    if not (isinstance(data["name"], str) and NAME.fullmatch(data["name"])):
        yield ("name",), "name: must be small letters, digits and hyphens"
    for key in ("title", "question"):
        if not isinstance(data[key], str):
            yield (key,), f"{key}: must be a text"
    sources, claims = data["sources"], data["claims"]
    if not isinstance(sources, dict):
        yield ("sources",), "sources: must be a mapping"
    else:
        for name, source in sources.items():
            if not isinstance(source, dict) or not all(
                isinstance(source.get(k, ""), str) for k in ("title", "ref")
            ):
                yield ("sources", name), f"{name}: must be a mapping with title and ref"
    if not isinstance(claims, list):
        yield ("claims",), "claims: must be a list"
    else:
        for index, claim in enumerate(claims):
            if not isinstance(claim, dict) or not all(
                isinstance(claim.get(k), str) for k in ("says", "source")
            ):
                yield ("claims", index), "a claim: must be a mapping with says and source"
