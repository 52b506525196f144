"""Commands that a screen names: each opens the run that the screen is about."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from ..core.run.folder import Run, first
from .options import RESULTS

if TYPE_CHECKING:
    from ..core.analysis.verdicts import Verdict
    from ..core.run.results import Results


def command(verb: str, run: Run, *arguments: str) -> str:
    """`lab compare softmax --all --run djfg`: `--run` where the bare command would open another run, `--results` where it would
    look elsewhere."""
    parts = ["lab", verb, *arguments]
    if not opens(run):
        parts += ["--run", run.id]
    return shlex.join(parts + _elsewhere(run))


def settling(verdict: Verdict, results: Results) -> str | None:
    """The command that adds as many replicates as would settle a claim; None where none would, or it is settled."""
    if not verdict.more or verdict.word not in ("unclear", "preview"):
        return None
    experiment, run = results.experiment, results.run
    noun = "--seeds" if experiment.seeds is not None else "--repeats"
    count = str(experiment.replicates + verdict.more)
    return shlex.join(["lab", "run", experiment.name, "--resume", run.id, noun, count, *_elsewhere(run)])


def _elsewhere(run: Run) -> list[str]:
    results = run.folder.parent.parent
    return ["--results", str(results)] if results != RESULTS else []


def opens(run: Run) -> bool:
    """Whether a command that names the experiment and no run opens this one."""
    parent = run.folder.parent
    shown = first(parent.parent, parent.name)
    return shown is not None and shown.folder == run.folder
