"""`lab claims`: what sources say, and where."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from .claim_lines import cut
from .options import Json, Word
from .overviews import experiments
from .pager import paged
from .screen import out, print_json, stop

PLACE = 18  # columns that a figure and its place have at least
WITH_IDS = 110  # columns from which the ids stand there too


def list_claims(
    word: Word = None,
    wide: Annotated[bool, typer.Option("--wide", help="Nothing cut: whole sentences and addresses")] = False,
    json: Json = False,
) -> None:
    """Claims of all experiments, a line each: what a source says, the figure it gives, and where."""
    found = {
        data["name"]: (data, claims)
        for data in experiments(None)
        if (claims := [claim for claim in data.get("claims") or [] if _has(word, claim, data)])
    }
    if json:
        print_json([{"experiment": name, **claim} for name, (_, claims) in found.items() for claim in claims])
        return
    if not found:
        stop(f"no claim about {word}    all: lab claims", code=0)
    with paged(out()) as screen:
        for at, (data, claims) in enumerate(found.values()):
            screen.print(
                *([""] if at else []),
                _heading(data, len(claims)),
                sep="\n",
                no_wrap=True,
                overflow="ellipsis",
            )
            column = max(cell_len(str(claim.get("id", ""))) for claim in claims)
            for claim in claims:
                _print_line(claim, data, column, screen, wide)
        if not wide:
            screen.print(
                "\n[quiet]whole, with ids: --wide · with its verdict: lab explain EXPERIMENT/CLAIM[/]"
            )


def _has(word: str | None, claim: dict[str, Any], data: dict[str, Any]) -> bool:
    return not word or word.lower() in f"{data['name']} {claim} {_source_words(claim, data)}".lower()


def _heading(data: dict[str, Any], count: int) -> Text:
    return Text.assemble(
        (data["name"], "bold"), f" · {data['title']} · {count} claim{'s' if count > 1 else ''}"
    )


def _print_line(
    claim: dict[str, Any], data: dict[str, Any], column: int, screen: Console, wide: bool
) -> None:
    """The sentence, and dim its figure and its place: on a narrow screen without its id, and within one line. `wide`: all."""
    name, says, figure = str(claim.get("id", "")), claim["says"], str(claim.get("paper", ""))
    has_id = wide or screen.width >= WITH_IDS
    start = f"  {name}{' ' * (column - cell_len(name))}" if has_id else ""
    source = _source_words(claim, data) if wide else _where(claim)
    rest = ", ".join(part for part in (figure, source) if part)
    if not wide:
        room = screen.width - cell_len(start) - 2
        says = cut(says, room - (min(cell_len(rest), PLACE) + 2 if rest else 0))
        rest = cut(rest, room - cell_len(says) - 2)
    line = Text.assemble(f"{start}  {says}", (f"  {rest}", "dim"))
    line.rstrip()
    screen.print(line, soft_wrap=True)


def _where(claim: dict[str, Any]) -> str:
    """`milakov2018, §3`; nothing for a claim of ours."""
    source = str(claim.get("source", ""))
    return "" if source == "ours" else source


def _source_words(claim: dict[str, Any], data: dict[str, Any]) -> str:
    """`arXiv:1805.02867, §3`: the source as one can look it up."""
    key, _, where = str(claim.get("source", "")).partition(",")
    source = (data.get("sources") or {}).get(key.strip()) or {}
    return f"{source.get('ref') or key},{where}" if where else str(source.get("ref") or key)
