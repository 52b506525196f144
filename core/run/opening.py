"""Opens a run: a new folder with the resolved experiment in it, or an old one to go on with."""

from __future__ import annotations

import calendar
import os
import random
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from ..atomic import write
from ..experiment.absolute_paths import with_absolute_paths
from ..experiment.checks import COLUMNS
from ..experiment.document import read
from ..experiment.load import Loaded
from ..experiment.mistakes import Mistakes
from ..experiment.predictions import digests
from ..experiment.schema import Experiment, point_words
from ..experiment.summary import parse
from . import lock
from .environment import code_digest
from .files import Damaged, write_json
from .folder import Run, result_in
from .plan import references
from .stored import fits_tables
from .trial_rows import complete_replicates, fitting

LETTERS = "abcdefghjkmnpqrstuvwxyz"  # no i, l, o: they read as 1 and 0
TIME = "%Y%m%dT%H%M%SZ"

_held: dict[Path, int] = {}  # descriptors of the locks of the runs that this process works on


def create(results: Path, loaded: Loaded, facts: Mapping[str, Any], environment: Mapping[str, Any]) -> Run:
    """Make the folder of a new run and hold its lock. Raises OSError: the results folder cannot be written."""
    parent = results / loaded.experiment.name
    parent.mkdir(parents=True, exist_ok=True)
    while True:
        letters = "".join(random.SystemRandom().choices(LETTERS, k=4))
        folder = parent / f"{_later_than_all(parent)}-{letters}"
        try:
            folder.mkdir()
            break
        except FileExistsError:
            continue
    run = Run(folder)
    hold(run)
    (folder / "trials").mkdir()
    write(folder / "experiment.yaml", as_yaml(loaded))
    write_json(folder / "environment.json", environment)
    run.update(
        schema=1,
        id=run.id,
        experiment=loaded.experiment.name,
        version=loaded.experiment.version,
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        seconds=0.0,
        planned=loaded.experiment.replicates,  # fixes when verdicts are given, however often the run goes on
        status="running",
        files=references(loaded),
        predictions=digests(loaded.experiment),
        code=code_digest(),
        **facts,
    )
    return run


def _later_than_all(parent: Path) -> str:
    """The UTC time as a name, or a second after the newest run's where that is later.

    The names order runs, and the newest stands for its experiment.
    """
    now, last = time.time(), ""
    for path in parent.iterdir():
        stamp = path.name.rpartition("-")[0]
        with suppress(ValueError):
            time.strptime(stamp, TIME)
            last = max(last, stamp)
    if last:
        now = max(now, calendar.timegm(time.strptime(last, TIME)) + 1)
    return time.strftime(TIME, time.gmtime(now))


def hold(run: Run) -> bool:
    """Take the lock of a run and keep it until `release` or the end of this process; False where another process has it.

    Raises OSError: the folder cannot be written, or its file system knows no locks.
    """
    descriptor = lock.acquire(run.lock)
    if descriptor is None:
        return False
    lock.write_owner(descriptor, f"process {os.getpid()}")
    _held[run.folder] = descriptor
    return True


def release(run: Run) -> None:
    """Give back the lock of a run."""
    if (descriptor := _held.pop(run.folder, None)) is not None:
        os.close(descriptor)


def as_yaml(loaded: Loaded) -> str:
    """The resolved experiment as YAML, its references absolute."""
    data = loaded.experiment.model_dump(mode="json", exclude_defaults=True, exclude={"presets"})
    params, folder = loaded.subject.params, loaded.folder
    for name, variant in loaded.experiment.variants.items():
        own = {key: value for key in ("tier", "group", "only") if (value := getattr(variant, key))}
        data["variants"][name] = own | with_absolute_paths(params, variant.params, folder)
    data["params"] = with_absolute_paths(params, loaded.experiment.params, folder)
    if loaded.experiment.trial.endswith(".py"):
        data["trial"] = str(loaded.subject.file)
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110)


def experiment_of(run: Run) -> Experiment:
    """The experiment as this run resolved it; needs neither its subject nor its files.

    Raises Damaged: its file is no experiment.
    """
    path = run.folder / "experiment.yaml"
    try:
        data = read(path).data
        if not fits_tables(data):
            raise Damaged(path)
        experiment = Experiment.model_validate(data)
        if experiment.name == run.folder.absolute().parent.name and not missing_names(experiment):
            return experiment
    except (ValueError, Mistakes):
        pass
    raise Damaged(path) from None


def missing_names(experiment: Experiment) -> list[str]:
    """Names that tables and plots look up in the file and do not find. (Claims may name a variant left out here.)"""
    columns = {*experiment.point_keys, *experiment.metrics, "variant", "step"}
    metrics = [metric.gap.of for metric in experiment.metrics.values() if metric.gap is not None]
    metrics += [name for plot in experiment.plots for name in (plot.metric, *plot.limit)]
    found = [f"metric {name}" for name in metrics if name not in experiment.metrics]
    sides = [[plot.x, plot.y if plot.difference else plot.hue] for plot in experiment.plots]
    found += [f"axis {side}" for pair in sides for side in pair if side not in columns]
    found += [f"axis other than {key}" for key in experiment.point_keys if key in COLUMNS]
    found += [
        f"value of {key}" for key in experiment.checked if key not in {**experiment.axes, **experiment.params}
    ]
    found += [] if experiment.baseline in experiment.variants else [f"variant {experiment.baseline}"]
    parse(experiment.summary)
    return found


def reopen(run: Run, loaded: Loaded, failed: bool = False, is_new_session: bool = True) -> None:
    """Go on with a run that is held, perhaps with more replicates than before.

    Trials that the machine ended are done again; with `failed` all trials that failed.
    """
    facts, planned = run.facts, planned_replicates(run)
    again = [*looks_again(facts), *_look_taken_again(run, planned, looks_again(facts), failed)]
    sessions = int(facts.get("sessions", 1)) + is_new_session
    # First: killed behind it, a look that is taken twice has been paid for.
    run.update(status="running", sessions=sessions, planned=planned, again=again)
    for path in run.to_try_again(failed):
        path.unlink()
    write(run.folder / "experiment.yaml", as_yaml(loaded))


def close_at(run: Run, loaded: Loaded, counts: Mapping[str, int]) -> None:
    """End a run that has all trials of `loaded` as one of no more replicates; trials beyond them stay."""
    write(run.folder / "experiment.yaml", as_yaml(loaded))
    run.update(status="finished", counts=counts)


def planned_replicates(run: Run) -> int:
    """The replicates planned when the run was made; those of its file where an older run does not say."""
    planned = run.facts.get("planned")
    if isinstance(planned, int) and not isinstance(planned, bool) and planned > 0:
        return planned
    return experiment_of(run).replicates


def looks_again(facts: Mapping[str, Any]) -> tuple[int, ...]:
    """The looks at a run that were taken once more, see `Conditions`."""
    return tuple(facts.get("again", ()))


def _look_taken_again(run: Run, planned: int, again: tuple[int, ...], failed: bool) -> list[int]:
    """The look, if any, that gave verdicts without the trials which are about to be done again.

    A training that failed lets no claim about its variant be tested, so it is the timing processes that count. Where
    fewer than six were left of a point, it had no verdict.
    """
    from ..analysis.looks import last_and_next
    from ..analysis.statistics import FEWEST

    ended = [result for path in run.to_try_again(failed) if (result := result_in(path.parent)) is not None]
    if not ended:
        return []
    experiment = experiment_of(run)
    look, _ = last_and_next(
        planned, complete_replicates(experiment, fitting(experiment, run.results())[0]), again
    )
    if look is None:
        return []
    # A check that passes only now has everything at its point timed anew.
    if any(trial["kind"] == "check" for trial in ended):
        return [look.n]
    missing = Counter(
        point_words(trial["point"])
        for trial in ended
        if trial["kind"] == "time" and trial["replicate"] < look.n
    )
    return [look.n] if any(look.n - count >= FEWEST for count in missing.values()) else []
