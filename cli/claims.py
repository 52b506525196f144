"""`lab claims`: what sources say, and where."""

from __future__ import annotations

from typing import Any

from rich.markup import escape

from .options import Json, Word
from .overviews import experiments
from .screen import out, print_json, stop, table


def list_claims(word: Word = None, json: Json = False) -> None:
    """Claims of all experiments: what a source says, and where."""
    claims = [(data, claim) for data in experiments(None) for claim in data.get("claims") or []]
    if word:
        claims = [
            (data, claim) for data, claim in claims if word.lower() in _searched_text(claim, data).lower()
        ]
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
            escape(_source_words(claim, data)),
        ]
        for data, claim in claims
    ]
    out().print(table(["experiment", "claim", "paper", "source"], rows, shorten=(1, 3)))


def _searched_text(claim: dict[str, Any], data: dict[str, Any]) -> str:
    return f"{data['name']} {claim} {_source_words(claim, data)}"


def _source_words(claim: dict[str, Any], data: dict[str, Any]) -> str:
    """`arXiv:1805.02867, §3`: the source as one can look it up."""
    key, _, where = str(claim.get("source", "")).partition(",")
    source = (data.get("sources") or {}).get(key.strip()) or {}
    return f"{source.get('ref') or key},{where}" if where else str(source.get("ref") or key)
