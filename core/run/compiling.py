"""Compiles the kernels of a run before the trials that need them: side by side, and beside trials that need none.

Nothing is timed before these have ended, so no clock runs while another process compiles. What goes wrong here is left to the
trials, which compile what is missing and say what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..compiled.ahead import groups, seconds_to_compile
from ..experiment.subject import Subject
from ..trial import Kernel
from .plan import Trial, key_of
from .process import Job
from .schedule import Event

FOLDER = "compiling"
"""In a run's folder, while kernels are compiled."""


@dataclass(frozen=True)
class Compiling:
    """What is compiled first, by the keys of the jobs that do so."""

    kernels: Mapping[str, Sequence[Kernel]]

    def in_numbers(self, event: Event, workers: int) -> Event:
        """Of `compiling`, which names what is not kept: how many kernels, the seconds until all are compiled, and those of each
        job. Other events as they are."""
        if event.what != "compiling" or event.job.trial.kind != "compile":
            return event
        names = set(event.detail[0])
        missing = {key: [each for each in group if each.name in names] for key, group in self.kernels.items()}
        every = [kernel for group in missing.values() for kernel in group]
        of_jobs = {key: sum(kernel.seconds for kernel in group) for key, group in missing.items()}
        return replace(event, detail=(len(every), seconds_to_compile(every, workers), of_jobs))


def compiled_first(
    subject: Subject, jobs: Sequence[Job], later: Sequence[Job], folder: Path
) -> tuple[list[Job], Compiling]:
    """The jobs, each after those that compile its kernels; before them these, for what `later` jobs need too.

    Args:
        folder: of the run.
    """
    if subject.kernels is None or not (every := [*jobs, *later]) or every[0].device != "cpu":
        return list(jobs), Compiling({})
    found = {
        id(job): [kernel for values in job.params.values() for kernel in subject.kernels(subject.params.model_validate(values))]
        for job in every
    }  # fmt: skip
    keys, compiling, kernels = dict[str, str](), list[Job](), dict[str, Sequence[Kernel]]()
    params = {str(n): values for n, values in enumerate(v for job in every for v in job.params.values())}
    for number, (together, group) in enumerate(groups(k for each in found.values() for k in each).items()):
        key = keys[together] = key_of("compile", together, {}, number)
        kernels[key] = group
        trial, place = Trial("compile", together, {}, number, key), str((folder / FOLDER / key).absolute())
        compiling.append(replace(every[0], trial=trial, folder=place, params=params, controls=()))
    waiting = [
        replace(job, after=frozenset(keys[kernel.together] for kernel in found[id(job)])) for job in jobs
    ]
    return [*compiling, *waiting], Compiling(kernels)
