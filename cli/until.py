"""`lab run --until settled`: from look to look replicates are added, until every claim is settled or the budget is spent."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from ..core.experiment.document import read
from ..core.experiment.request import Request
from .screen import about, waiting

if TYPE_CHECKING:
    from ..core.analysis.looks import Look
    from ..core.experiment.load import Loaded
    from ..core.run.folder import Run


def next_round(run: Run, workers: int, deadline: float | None, screen: Console) -> Loaded | str:
    """The experiment of a run with the replicates of its next look; in words why there is none, where it ends here.

    Args:
        deadline: of `time.monotonic`, when the budget is spent.

    Raises:
        OutOfTime: the trials of that look would take longer.
    """
    from ..core.analysis.settle import last_look, look_to_come, names, open_claims
    from ..core.run.estimate import seconds_to_do
    from ..core.run.execute import OutOfTime
    from ..core.run.plan import plan
    from ..core.run.results import gather

    with waiting(screen, "judging …"):
        results = gather(run)
    conditions, noun = results.conditions, results.experiment.noun
    following = look_to_come(results.verdicts, conditions, noun)
    if isinstance(following, str):
        return following
    loaded = grown(run, following.n)
    expected = seconds_to_do(run, plan(loaded), workers)
    takes = "" if expected is None else f", about {about(expected)}"
    at_now = escape(f"open at {conditions.complete} {noun}s: {names(open_claims(results.verdicts))}")
    if deadline is not None and expected is not None and expected > (left := deadline - time.monotonic()):
        rest = f"{about(left)} of the budget are left" if left > 0 else "the budget is spent"
        raise OutOfTime(f"{at_now}. The next look is at {following.n}{takes}; {rest}")
    screen.print(f"{at_now}. On to the look at {following.n}{takes}; the last is at {last_look(conditions)}")
    screen.print(cost(following, noun), style="quiet")
    return loaded


def grown(run: Run, replicates: int) -> Loaded:
    """The experiment of a run, with so many replicates."""
    from ..core.experiment.load import load_document

    document = read(run.folder / "experiment.yaml")
    request = Request(seeds=replicates) if "seeds" in document.data else Request(repeats=replicates)
    return load_document(document, request, is_resolved=True)


def back_to_complete(run: Run, before: int) -> None:
    """End a run that was finished with `before` replicates, and was stopped on the way to the next look, as one of those
    that are complete. It stays unfinished where an older trial was being done again."""
    from ..core.run.execute import counts
    from ..core.run.opening import close_at, experiment_of
    from ..core.run.trial_rows import complete_replicates, fitting

    experiment = experiment_of(run)
    complete = complete_replicates(experiment, fitting(experiment, run.results())[0])
    if complete >= before:
        loaded = grown(run, complete)
        close_at(run, loaded, counts(run, loaded))


def cost(look: Look, noun: str) -> str:
    """What it costs to have looked before."""
    from ..core.analysis.looks import widening

    return (
        f"the price of looking again: claims are judged by {100 * look.level:.4g}% intervals at {look.n} {noun}s, "
        f"{widening(look):.2f}x as wide as 95% ones; all looks together err in at most 5 of 100 runs"
    )
