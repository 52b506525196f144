"""`lab env`: this machine."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer
from rich.markup import escape

from .options import Json
from .screen import err, out, print_json, stop, table, with_commas


def env(
    peaks: Annotated[
        bool, typer.Option(help="Measure the FMA peak, matrix products and copies (a few seconds)")
    ] = True,
    threads: Annotated[int, typer.Option(min=1, help="Threads to measure with")] = 1,
    json: Json = False,
) -> None:
    """Machine, versions, threads, load, and what is possible here: the FMA peak, the best product, copies."""
    from ..core.measure.threads import thread_environment

    os.environ.update(thread_environment(threads))  # before torch is imported
    from ..core.measure.fastest_products import in_words
    from ..core.measure.load import load_note
    from ..core.measure.machine import machine_facts

    busy = load_note(threads)
    facts = machine_facts() | {"threads": threads, "busy": busy}
    if peaks:
        with err().status("measuring multiply-adds, matrix products and copies …"):
            from dataclasses import asdict

            from ..core.measure.peaks import measure_peaks
            from ..core.measure.threads import use_threads

            use_threads(threads)
            facts["peaks"] = asdict(measure_peaks())
        with err().status("comparing the libraries that multiply …"):
            facts["products"] = _products(threads)
    if json:
        print_json(facts)
        return
    from ..core.measure.ceiling import peak_words

    measured = facts.pop("peaks", {})
    said = [
        (key.replace("_", " "), _fact(key, value))
        for key, value in facts.items()
        if value not in (None, [], {}) and key != "products"
    ]
    multiplied = in_words(facts.get("products", {})).items()
    rows = [[escape(name), escape(words)] for name, words in (*said, *peak_words(measured), *multiplied)]
    out().print(table(["", ""], rows, shorten=1))


def _products(threads: int) -> dict[str, Any]:
    """What a training run multiplies by here."""
    from ..core.measure.fastest_products import Unusable, find, record, setting

    try:
        return record(setting(), {number: find(number) for number in sorted({1, threads})})
    except (Unusable, ValueError) as error:
        stop(error)


def _fact(name: str, value: Any) -> str:
    """A fact about the machine, for people."""
    from ..core.analysis import digits

    if name in ("memory", "memory_available", "last_level_cache", "size"):
        return digits.format(float(value), unit="B")
    if name == "caches":
        return ", ".join(f"{one['name']} {_fact('size', one['size'])} x {one['count']}" for one in value)
    if isinstance(value, dict):
        return ", ".join(f"{k.replace('_', ' ')} {_fact(k, v)}" for k, v in value.items() if v is not None)
    if isinstance(value, list):
        return ", ".join(_fact("", inner) for inner in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.1f}" if isinstance(value, float) else with_commas(value)
