"""Starting trials in processes of their own, watching them, ending those that hang."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from . import process
from .process import Job

# Fork from a server that has torch loaded and one thread: 15 ms a trial where a fresh interpreter takes 2.6 s.
METHOD = os.environ.get("LAB_START", "forkserver" if sys.platform == "linux" else "spawn")

LOADING = 60.0  # seconds that a fresh interpreter may take to import torch, on a slow disk; the trial's own time comes after


@dataclass(frozen=True)
class Event:
    """What the live view hears: `started`, `progress`, `metrics`, `sample` or `ended`, of which trial, with what."""

    what: str
    job: Job
    detail: tuple[Any, ...] = ()


@dataclass
class _Running:
    job: Job
    process: BaseProcess
    connection: Connection
    timeout: float
    deadline: float
    is_done: bool = False


def start_server(modules: Sequence[str], environment: dict[str, str]) -> None:
    """Let the server load torch while the header is being read; `environment` is what its children inherit."""
    os.environ.update(environment)
    if METHOD == "forkserver":
        from multiprocessing import forkserver

        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["lab.core.run.preload", *modules])
        forkserver.ensure_running()


def run(jobs: Sequence[Job], workers: int, timeout: float, hear: Callable[[Event], None]) -> None:
    """Run all jobs, at most `workers` side by side, in the order given.

    When this returns, each has its `trial.json`: written by the trial itself, or here for one that crashed, was
    killed or took longer than `timeout` seconds. When it is interrupted, running trials are ended and have none.
    """
    waiting, running = list(reversed(jobs)), list[_Running]()
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                running.append(_start(waiting.pop(), timeout, hear))
            soonest = min(one.deadline for one in running)
            ready = wait(
                [one.connection for one in running], timeout=min(max(soonest - time.monotonic(), 0), 0.25)
            )
            for one in running:
                if one.connection in ready:
                    _listen(one, hear)
                if not one.is_done and time.monotonic() > one.deadline:
                    _end(one)
                    _write_down(one, "timeout", f"still running after {timeout:g} s, and stopped")
                if one.is_done:
                    hear(Event("ended", one.job))
            running = [one for one in running if not one.is_done]
    finally:
        for one in running:
            _end(one)


def _start(job: Job, timeout: float, hear: Callable[[Event], None]) -> _Running:
    Path(job.folder).mkdir(parents=True, exist_ok=True)
    context: Any = multiprocessing.get_context(METHOD)
    ours, theirs = context.Pipe(duplex=True)
    child = context.Process(target=process.main, args=(job, theirs), name=job.trial.key, daemon=True)
    try:
        with _main_not_imported_again():
            child.start()
    except (EOFError, ConnectionError) as error:
        raise OSError("the process that starts trials has ended; LAB_START=spawn does without it") from error
    theirs.close()
    hear(Event("started", job))
    return _Running(job, child, ours, timeout, time.monotonic() + LOADING + timeout)


@contextmanager
def _main_not_imported_again() -> Iterator[None]:
    """A child need not import the command line's module as its `__main__`: that costs 60 ms a trial."""
    main = sys.modules["__main__"]
    names = ("__file__", "__spec__")
    hidden: dict[str, Any] = {name: main.__dict__.pop(name) for name in names if name in main.__dict__}
    main.__spec__ = None
    try:
        yield
    finally:
        main.__dict__.update(hidden)


def _listen(one: _Running, hear: Callable[[Event], None]) -> None:
    try:
        message = one.connection.recv()
    except (EOFError, OSError):
        one.process.join(5)
        _end(one)
        _write_down(one, "failed", _how_it_died(one.process.exitcode))
        return
    if message[0] == "begun":
        one.deadline = time.monotonic() + one.timeout
    elif message[0] == "done":
        one.is_done = True
        one.process.join(5)
        _end(one)
    else:
        hear(Event(message[0], one.job, message[1:]))


def _how_it_died(code: int | None) -> str:
    if code is None or code >= 0:
        return f"its process ended with exit code {code} before the trial was done"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    hint = " (out of memory?)" if name == "SIGKILL" else ""
    return f"its process was ended by {name}{hint}"


def _end(one: _Running) -> None:
    """End the process and whatever it started: a child that outlives a crash would disturb the next clock."""
    if one.process.pid is not None:
        try:
            os.killpg(one.process.pid, signal.SIGKILL)
        except (AttributeError, ProcessLookupError, PermissionError):  # no groups here, or nobody left in it
            one.process.kill()
        one.process.join(5)
    one.connection.close()


def _write_down(one: _Running, status: str, reason: str) -> None:
    one.is_done = True
    if not (Path(one.job.folder) / "trial.json").exists():
        process.finish(Path(one.job.folder), one.job.trial, {"status": status, "reason": reason})
