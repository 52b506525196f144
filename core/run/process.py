"""The process of a trial: run it, then write how it ended into `trial.json`, which comes last."""

from __future__ import annotations

import errno
import faulthandler
import math
import os
import select
import shutil
import signal
import socket
import statistics
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..experiment.schema import AGAIN
from ..experiment.shape import plainly
from ..experiment.subject import NoSubject, Subject, load_subject
from ..measure.fastest_products import Unusable, find, record, setting, use
from ..safe_text import one_line
from ..trial import Case, Params, Refused, Wrong
from .context import NotFinite, TrialContext
from .descendants import END_SIGNALS, adopt, end_with_parent
from .files import write_json
from .messages import line_of
from .plan import Trial

MACHINE_ERRORS = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.ESTALE, errno.ENOMEM, errno.EMFILE, errno.ENFILE,
}  # fmt: skip
SAFE_PATH = "lab"
"""The value of $PYTHONSAFEPATH that lab sets: it keeps the working folder out of the path of a fresh interpreter."""


@dataclass(frozen=True)
class Job:
    """A trial with all that its process needs; goes through a pipe, so plain values only."""

    trial: Trial
    subject: str
    base: str  # folder that references are relative to
    folder: str  # the trial's own
    params: Mapping[str, Mapping[str, Any]]  # of each variant that takes part
    controls: tuple[str, ...]  # variants that are timed twice
    device: str
    threads: int
    sample_seconds: float
    after: frozenset[str] = frozenset()  # keys of the trials that must have ended before this one starts
    products: Mapping[str, Any] = field(default_factory=dict)  # what multiplies, as the run records it


def main(job: Job, line: socket.socket) -> None:
    """The target of the process; `line` leads to the runner."""
    _isolate(Path(job.folder) / "log.txt", line)
    send = _sender(line)
    started = time.time()
    notes: list[str] = []
    ending: dict[str, Any]
    try:
        ending = {"status": "ok", "reason": ""} | _run(job, send, notes)
    except Wrong as error:
        ending = {"status": "wrong", "reason": str(error)}
        ending |= {"case": error.case, "error": error.error, "allowed": error.allowed}
    except (Refused, NotImplementedError) as error:
        ending = {"status": "refused", "reason": str(error) or "not implemented"}
    except NotFinite as error:
        ending = {"status": "failed", "reason": str(error)}
    except MemoryError:
        ending = failure("out of memory", by_machine=True)
    except Unusable as error:
        ending = failure(str(error), by_machine=True)
    except BaseException as error:
        traceback.print_exc()
        lacked = _machine_error(error, Path(job.folder))
        ending = failure(_first_line(lacked or error), by_machine=lacked is not None)
    ending |= {"started": started, "seconds": time.time() - started} | ({"notes": notes} if notes else {})
    finish(Path(job.folder), job.trial, ending)
    # Straight out: interpreter shutdown would wait for the threads and atexit hooks of whatever was imported.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def failure(reason: str, by_machine: bool) -> dict[str, Any]:
    """The ending of a trial that failed; one that failed because of the machine is tried again by `--resume`."""
    return {"status": "failed", "reason": reason} | ({"cause": "machine"} if by_machine else {})


def finish(folder: Path, trial: Trial, ending: Mapping[str, Any]) -> None:
    """Write `trial.json`, which marks a trial as done. A folder that the trial has removed is made again."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "kind": trial.kind,
        "variant": trial.variant,
        "point": dict(trial.point),
        "replicate": trial.replicate,
    }
    write_json(folder / "trial.json", facts | dict(ending))


def _isolate(log: Path, line: socket.socket) -> None:
    """Give the trial its own log and its own process group (Ctrl-C goes to the runner), and end it with the runner."""
    os.setsid()
    _leave_the_server()
    end_with_parent()
    adopt()
    # The server has its own hook, and its own handlers of the signals below.
    sys.excepthook = sys.__excepthook__
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, END_SIGNALS)
    if os.environ.get("PYTHONSAFEPATH") == SAFE_PATH:  # for this interpreter only
        del os.environ["PYTHONSAFEPATH"]
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="replace")  # type: ignore[union-attr]
    faulthandler.enable(sys.stderr)

    def die_with_the_runner() -> None:
        """For systems where the kernel does not: the runner never writes, so an end of file means that it is gone."""
        gone = select.poll()
        gone.register(line, select.POLLIN)
        # The trial may close what is not its own.
        if not any(event & select.POLLNVAL for _, event in gone.poll()):
            os.killpg(0, signal.SIGKILL)

    threading.Thread(target=die_with_the_runner, daemon=True).start()


def _leave_the_server() -> None:
    """Close a descriptor that multiprocessing gives to every child: a byte written to it would end the server."""
    from multiprocessing import forkserver

    ours = forkserver._forkserver
    held: int | None = getattr(ours, "_forkserver_alive_fd", None)
    if held is not None:
        os.close(held)
        ours._forkserver_alive_fd = None  # type: ignore[attr-defined]


def _sender(line: socket.socket) -> Callable[[tuple[Any, ...]], None]:
    """A function that sends a message to the live view, as a line of JSON. It drops messages that the socket cannot take
    now, so a runner that is stopped, or whose terminal is, never holds up a trial and its clock."""
    lock, rest = threading.Lock(), b""
    line.setblocking(False)

    def send(message: tuple[Any, ...]) -> None:
        nonlocal rest
        with lock, suppress(OSError):
            if rest:
                rest = rest[line.send(rest) :]
            if not rest:
                whole = line_of(message)
                rest = whole[line.send(whole) :]

    return send


def _run(job: Job, send: Callable[[tuple[Any, ...]], None], notes: list[str]) -> dict[str, Any]:
    from ..measure.threads import use_threads

    use_threads(job.threads)  # imports torch, where it was not forked with it
    send(("begun",))
    if job.trial.kind != "check":  # which measures memory
        from ..measure.pages import keep_pages

        keep_pages()
    if job.trial.kind == "peaks":
        return _peaks(job)
    if job.trial.kind == "products":
        return {"products": _products(job)}
    use(job.products)
    try:
        subject = load_subject(job.subject, Path(job.base))
    except NoSubject as error:
        raise RuntimeError(str(error)) from error
    parameters = {name: subject.params.model_validate(values) for name, values in job.params.items()}
    if job.trial.kind == "compile":
        return _compile(subject, list(parameters.values()), job, send)
    contexts = {name: _context(job, name, send, notes) for name in parameters}
    name = job.trial.variant
    if job.trial.kind == "train":
        assert subject.trial is not None
        return {"metrics": _finite(subject.trial(parameters[name], contexts[name]))}
    if job.trial.kind == "check":
        return _check(_case(subject, parameters[name], contexts[name]), job)
    return _time(job, {n: _case(subject, parameters[n], contexts[n]) for n in parameters}, send)


def _context(
    job: Job, variant: str, send: Callable[[tuple[Any, ...]], None], notes: list[str]
) -> TrialContext:
    folder, base = Path(job.folder), Path(job.base)
    return TrialContext(variant, job.trial.replicate, job.device, job.threads, folder, base, send, notes)


def _case(subject: Subject, params: Params, context: TrialContext) -> Case:
    assert subject.case is not None
    return subject.case(params, context)


def _compile(
    subject: Subject, params: Sequence[Params], job: Job, send: Callable[[tuple[Any, ...]], None]
) -> dict[str, Any]:
    """Compile what is not kept yet of one group. The first such trial tells what is not kept of all."""
    from ..compiled.ahead import compile_now, groups, not_kept
    from ..compiled.code import refuse_without_numba

    assert subject.kernels is not None
    refuse_without_numba(job.trial.variant)
    by_group = groups(kernel for each in params for kernel in subject.kernels(each))
    mine = by_group[job.trial.variant]
    everything = [kernel for group in by_group.values() for kernel in group]
    missing = not_kept(everything if job.trial.replicate == 0 else mine)
    if missing and job.trial.replicate == 0:
        send(("compiling", [kernel.name for kernel in missing]))
    names = {kernel.name for kernel in missing}
    compile_now(
        [kernel for kernel in mine if kernel.name in names],
        lambda done, of, name: send(("progress", done, of, name)),
    )
    return {}


def _check(case: Case, job: Job) -> dict[str, Any]:
    from ..measure.memory import memory_of

    metrics = _finite(case.check())
    memory = memory_of(case.call, job.device)
    return {
        "metrics": metrics | {"memory": memory.allocated},
        "memory": {"allocated": memory.allocated, "resident": memory.resident, "agrees": memory.agrees},
        "work": dict(case.work),
        "kernel": "" if case.kernel is None else case.kernel(),
    }


def _time(job: Job, cases: Mapping[str, Case], send: Callable[[tuple[Any, ...]], None]) -> dict[str, Any]:
    from ..measure.load import busy_note, used_by_others
    from ..measure.timer import time_blocks, timer_name

    calls = {name: case.call for name, case in cases.items()}
    calls |= {name + AGAIN: calls[name] for name in job.controls}
    others = used_by_others()
    samples = time_blocks(
        calls,
        device=job.device,
        seed=job.trial.replicate,
        budget_seconds=job.sample_seconds,
        settle=job.threads > 1,
        on_block=lambda done, of: send(("progress", done, of, "")),
    )
    medians = {name: statistics.median(values) for name, values in samples.items()}
    send(("metrics", None, medians))
    return {
        "samples": samples,
        "work": {name: dict(case.work) for name, case in cases.items()},
        "timer": timer_name(job.device),
        "threads": job.threads,
        "load": busy_note(others(), job.threads),
    }


def _peaks(job: Job) -> dict[str, Any]:
    """What the machine can do at best; after a repeat the FMA peak alone, by which one sees whether it changed."""
    from dataclasses import asdict

    from ..measure.peaks import fma_or_why, measure_peaks

    dtype = str(next(iter(job.params.values()), {}).get("dtype", "float32"))
    if job.trial.replicate == 0:
        return {"metrics": asdict(measure_peaks(dtype, job.device))}
    fma, why = fma_or_why(dtype, job.device, job.threads)
    return {"metrics": {"fma": fma and asdict(fma), "without_fma": why}}


def _products(job: Job) -> dict[str, Any]:
    found = {threads: find(threads) for threads in sorted({1, job.threads})}
    return record(setting(), found)


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    values = {name: float(value) for name, value in metrics.items()}
    for name, value in values.items():
        if math.isnan(value):
            raise NotFinite(f"{name} is NaN")
    return values


def _machine_error(error: BaseException, folder: Path) -> BaseException | None:
    """The error of a chain that says what the machine lacked (memory, disk); None if the trial itself failed."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError) or getattr(cause, "errno", None) in MACHINE_ERRORS:
            return cause
        if isinstance(cause, RuntimeError) and (
            "allocate memory" in str(cause) or "out of memory" in str(cause)
        ):
            return cause  # torch's, on either device
        cause = cause.__cause__ or cause.__context__
    with suppress(OSError):  # torch's writer only says that it failed
        if isinstance(error, RuntimeError) and shutil.disk_usage(folder).free < 1 << 16:
            return error
    return None


def _first_line(error: BaseException) -> str:
    if isinstance(error, ValidationError):  # whose first line counts the mistakes
        first = error.errors()[0]
        return one_line(
            ": ".join([error.title, *filter(None, [".".join(map(str, first["loc"]))]), plainly(first)])
        )
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
