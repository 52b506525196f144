"""Commands that a screen names: each opens the run that the screen is about."""

from __future__ import annotations

import shlex
from functools import cache
from typing import TYPE_CHECKING

from ..core.run.folder import Run, first
from .options import results_words

if TYPE_CHECKING:
    from ..core.analysis.verdicts import Verdict
    from ..core.run.results import Results


def command(verb: str, run: Run, *arguments: str) -> str:
    """`lab compare softmax --all --run djfg`: `--run` where the bare command would open another run, `--results` where it would
    look elsewhere."""
    parts = ["lab", verb, *arguments]
    if not opens(run):
        parts += ["--run", run.id]
    return shlex.join(parts + results_words(run.folder.parent.parent))


def settling(verdict: Verdict, results: Results) -> str | None:
    """The command that gives as many replicates as would settle a claim; None where none would, or it is settled.

    A run of other code cannot go on: then it is a new run of so many.
    """
    from ..core.analysis import settle

    found, experiment, run = verdict.settling, results.experiment, results.run
    if found is None or found.replicates is None:
        return None
    elsewhere = results_words(run.folder.parent.parent)
    if not _can_go_on(run):
        return again(run, f"--{experiment.noun}s", str(found.replicates))
    return settle.command(found, experiment, run.id, *elsewhere)


def again(run: Run, *more: str) -> str:
    """The command that made a run, with its `-s` and `--add`, for a new run in the same folder; `more` replaces its number of
    replicates."""
    words = shlex.split(str(run.facts.get("command") or f"lab run {run.folder.parent.name}"))
    kept, valued = (
        [],
        ("--results", "--resume", "--until", "--budget", *(("--seeds", "--repeats") if more else ())),
    )
    at = 0
    while at < len(words):
        if words[at] in valued:
            at += 1 + (at + 1 < len(words) and not words[at + 1].startswith("-"))
            continue
        if not words[at].startswith(tuple(f"{option}=" for option in valued)):
            kept.append(words[at])
        at += 1
    return shlex.join([*kept, *more, *results_words(run.folder.parent.parent)])


@cache
def _can_go_on(run: Run) -> bool:
    from .resume import why_it_cannot_go_on

    return why_it_cannot_go_on(run, run.facts) is None


def opens(run: Run) -> bool:
    """Whether a command that names the experiment and no run opens this one."""
    parent = run.folder.parent
    shown = first(parent.parent, parent.name)
    return shown is not None and shown.folder == run.folder
