"""What the products of a training run are done by: found before its first trial, recorded, and kept to by `--resume`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..compiled.switch import SWITCH, are_wanted
from ..experiment.mistakes import Mistake, Mistakes, Position
from ..measure.fastest_products import FASTEST, PYTORCH, Unusable, kept, record, setting
from . import schedule
from .environment import Resources
from .files import read_json, write_json
from .folder import Run, result_in
from .plan import Trial
from .process import Job

TIMEOUT = 60.0  # seconds; our own product is compiled in it once
Found = dict[str, Any]


def products_of(run: Run, resources: Resources, on_wait: Callable[[str], None]) -> Found:
    """What environment.json says of them; where it says nothing yet, what is found here, which it then says.

    A comparison that crashes leaves the products to PyTorch, and the record says why.

    Raises Mistakes: $LAB_PRODUCTS names a library that is not here or not right, or $LAB_LM_KERNELS is not what it was.
    """
    path = run.folder / "environment.json"
    facts = read_json(path)
    if (recorded := facts.get("products")) is None:
        # What an earlier version has trained without a record was done by PyTorch, and goes on so.
        recorded = record(PYTORCH, {}) if any(run.ends().values()) else _found(resources, on_wait)
        write_json(path, facts | {"products": recorded, "lm_kernels": are_wanted()})
    elif facts.get("lm_kernels", are_wanted()) != are_wanted():
        began = f"{SWITCH}={int(facts['lm_kernels'])}"
        raise _mistakes(f"this run began with {began}, and its numbers go on only so: set {began}")
    return dict(recorded)


def _found(resources: Resources, on_wait: Callable[[str], None]) -> Found:
    chosen, numbers = setting(), sorted({1, resources.threads})
    if chosen == PYTORCH or resources.device != "cpu":
        return record(PYTORCH, {})
    known = {threads: found for threads in numbers if (found := kept(threads)) is not None}
    if len(known) == len(numbers):
        try:
            return record(chosen, known)
        except Unusable as error:
            raise _mistakes(error) from None
    on_wait("comparing the libraries that multiply, once on this machine: a few seconds")
    with tempfile.TemporaryDirectory() as folder:
        schedule.run([_job(Path(folder), resources)], 1, TIMEOUT, lambda event: None)
        result = result_in(Path(folder)) or {}
    if (found := result.get("products")) is not None:
        return dict(found)
    if chosen != FASTEST:
        raise _mistakes(result.get("reason"))
    return record(PYTORCH, {}) | {"why": f"comparing libraries failed: {result.get('reason')}"}


def _mistakes(reason: object) -> Mistakes:
    return Mistakes([Mistake(Position("environment"), str(reason))])


def _job(folder: Path, resources: Resources) -> Job:
    """Compares in a process of its own, since this one has no torch."""
    return Job(
        trial=Trial("products", "", {}, 0, "products"),
        subject="",
        base=str(folder),
        folder=str(folder),
        params={},
        controls=(),
        device="cpu",
        threads=resources.threads,
        sample_seconds=0.0,
    )
