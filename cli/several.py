"""`lab run A B C` and `lab run --all`: one experiment after another, and one table at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..core.experiment.discovery import find
from ..core.experiment.document import read
from ..core.experiment.mistakes import Mistakes
from .perform import Done
from .resume import NothingToResume
from .run_options import RunOptions
from .screen import Stopped, duration, err, print_json, table

INTERRUPTED = 130
WORST_FIRST = (INTERRUPTED, 2, 3, 1, 0)  # not run at all is worse than any result


def run_several(
    names: Sequence[str],
    options: RunOptions,
    screen: Console,
    run_one: Callable[[str, RunOptions, Console], Done],
) -> int:
    """Run each, also after one that failed; Ctrl-C ends all of them. The exit code is the worst."""
    ended: list[Done] = []
    subjects = _subjects(names)
    if not options.dry_run:
        from ..core.run.execute import warm_up

        warm_up(*subjects)
    for index, name in enumerate(names):
        screen.print(f"[quiet]{index + 1} of {len(names)}[/]")
        ended.append(_ended(name, options, screen, run_one))
        screen.print()
        if ended[-1].code == INTERRUPTED:
            break
    if options.json:
        print_json([_as_data(name, done) for name, done in zip(names, ended, strict=False)])
    if not options.dry_run:
        screen.print(_overview(names, ended))
    return min((done.code for done in ended), key=WORST_FIRST.index)


def _subjects(names: Sequence[str]) -> list[str]:
    """What these experiments are about, for one server of trial processes."""
    subjects: list[object] = []
    for name in names:
        path = find(name)  # a name that nothing is called ends it all before hours have gone by
        with suppress(Mistakes):  # what is wrong in a file is told when it is its turn
            subjects.append(read(path).data.get("trial"))
    return [subject for subject in subjects if isinstance(subject, str)]


def _ended(
    name: str, options: RunOptions, screen: Console, run_one: Callable[[str, RunOptions, Console], Done]
) -> Done:
    """How one ended; the reason, where it could not be run."""
    try:
        return run_one(name, _for_one(name, options), screen)
    except KeyboardInterrupt:
        return Done(INTERRUPTED, None, "interrupted")
    except Mistakes as mistakes:
        return _not_run(2, str(mistakes))
    except NothingToResume:
        return Done(0, None, "nothing to go on with")
    except Stopped as stopped:  # it has printed why
        return Done(stopped.exit_code, None, f"not run: {stopped.message.splitlines()[0]}")
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _not_run(1, f"{where}{error.strerror or error}")


def _for_one(name: str, options: RunOptions) -> RunOptions:
    """--repeats is for those that time, --seeds for those that train."""
    data, request = read(find(name)).data, options.request
    repeats, seeds = (getattr(request, flag) if flag in data else None for flag in ("repeats", "seeds"))
    return replace(options, request=replace(request, repeats=repeats, seeds=seeds))


def _not_run(code: int, why: str) -> Done:
    err().print(why, markup=False, soft_wrap=True)
    return Done(code, None, f"not run: {why.splitlines()[0]}")


def _as_data(name: str, done: Done) -> object:
    if isinstance(done.data, dict):
        return done.data
    if done.data is not None:  # the trials of a dry run
        return {"experiment": name, "trials": done.data}
    return {"experiment": name, "status": done.state, "code": done.code}


def _overview(names: Sequence[str], ended: Sequence[Done]) -> Table:
    rows = []
    for index, name in enumerate(names):
        done = ended[index] if index < len(ended) else Done(0, None, "not started")
        took = "" if done.seconds is None else duration(done.seconds)
        rows.append([f"[name]{escape(name)}[/]", done.run, took, escape(done.counts), escape(done.state)])
    return table(["experiment", "run", ">took", "verdicts", "state"], rows, shorten=3)
