"""Starts trials in processes of their own, watches them, and ends those that hang."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from ..experiment.mistakes import Mistake, Mistakes, Position
from . import process
from .descendants import END_SIGNALS, adopt, children, end_children
from .folder import result_in
from .messages import message_of
from .process import Job

METHODS = ("forkserver", "spawn")

LOADING = 60.0  # seconds that a fresh interpreter may take to import torch, on a slow disk; the trial's own time comes after
TICK = 0.25  # seconds after which every trial is looked at, with or without a message of it
ASLEEP = 1.0  # seconds without such a look that show that this process was stopped, or its terminal
# Sent by a person, by the system when memory ends or a limit is met, or for a file that the disk no longer holds.
FROM_OUTSIDE = ("SIGKILL", "SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGBUS", "SIGXCPU", "SIGXFSZ", "SIGPWR")
NO_CODE = 255  # multiprocessing's exit code for a process whose server is gone
LONGEST = 1 << 20  # bytes without the end of a message: they are none


@dataclass(frozen=True)
class Event:
    """An event of a trial: `started`, `compiling`, `progress`, `metrics`, `sample`, `note` or `ended`, with its values."""

    what: str
    job: Job
    detail: tuple[Any, ...] = ()


@dataclass
class _Running:
    job: Job
    process: BaseProcess
    line: socket.socket
    timeout: float
    deadline: float
    unread: bytes = b""
    has_closed: bool = False  # its end of the line, while it goes on
    is_done: bool = False


def method() -> str:
    """How trial processes are started: $LAB_START, else the fastest method of this system.

    Forked from a server that has torch loaded and one thread they take 15 ms, as fresh interpreters 2.6 s.

    Raises Mistakes: $LAB_START names no method.
    """
    chosen_method = os.environ.get("LAB_START") or ("forkserver" if sys.platform == "linux" else "spawn")
    if chosen_method not in METHODS:
        raise Mistakes([Mistake(Position(f"LAB_START={chosen_method}"), f"should be {' or '.join(METHODS)}")])
    return chosen_method


def start_server(modules: Sequence[str], environment: dict[str, str]) -> None:
    """Start the server of trial processes, which imports torch meanwhile; its children inherit `environment`.

    Raises Mistakes: $LAB_START names no method.
    """
    from multiprocessing import forkserver, resource_tracker

    chosen = method()
    os.environ.update(environment)
    adopt()
    with _guarded():
        resource_tracker.ensure_running()  # by itself, since it lets signals through again
    if chosen == "forkserver":
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["lab.core.run.server", "lab.core.run.preload", *modules])
        _make_room_for_its_socket()
        with _guarded():
            forkserver.ensure_running()


def run(jobs: Sequence[Job], workers: int, timeout: float, on_event: Callable[[Event], None]) -> None:
    """Run all jobs, at most `workers` side by side, in the order given; one that must wait for others lets those behind it go
    first.

    When this returns, each has its `trial.json`: written by the trial itself, or here for one that crashed, was
    killed or took longer than `timeout` seconds, not counting those in which this process was stopped. When it is
    interrupted, running trials are ended and have none.
    """
    waiting, running, unrelated = list(jobs), list[_Running](), children(os.getpid())
    looked = time.monotonic()
    try:
        while waiting or running:
            while len(running) < workers and (job := _next(waiting, running)) is not None:
                waiting.remove(job)
                running.append(_start(job, timeout, on_event))
            wait([source for one in running for source in _sources(one)], timeout=TICK)
            now = time.monotonic()
            if now - looked > TICK + ASLEEP:  # trials could not run meanwhile either: their deadlines move
                for one in running:
                    one.deadline += now - looked
            looked = now
            for one in running:
                code = one.process.exitcode  # before its last messages are read
                _receive(one, on_event)
                if code is not None:
                    _conclude(one, running, unrelated, *_how_it_died(code))
                elif now > one.deadline:
                    _conclude(one, running, unrelated, "timeout", *_why_it_timed_out(one))
                if one.is_done:
                    on_event(Event("ended", one.job))
            running = [one for one in running if not one.is_done]
    finally:
        for one in running:
            _end(one)
        _end_leftovers([], unrelated)


def _next(waiting: Sequence[Job], running: Sequence[_Running]) -> Job | None:
    """The first that waits for nothing which is still to be done."""
    to_do = {job.trial.key for job in waiting} | {one.job.trial.key for one in running}
    return next((job for job in waiting if not job.after & to_do), None)


def _start(job: Job, timeout: float, on_event: Callable[[Event], None]) -> _Running:
    context: Any = multiprocessing.get_context(method())
    _own_folder(Path(job.folder))
    for again in (True, False):
        ours, theirs = socket.socketpair()
        child = context.Process(target=process.main, args=(job, theirs), name=job.trial.key, daemon=True)
        try:
            # A server that is loading torch keeps us waiting; Ctrl-C must work meanwhile.
            with _main_not_imported_again(), _guarded(block_signals=method() == "spawn"):
                child.start()
            break
        except (EOFError, ConnectionError) as error:
            ours.close()
            if not again:  # a server that has ended is followed by a new one, but not for ever
                raise OSError("the process that starts trials ends again and again") from error
            # One that is ending answers nobody, and must be gone before the next starts.
            _server_has_ended(seconds=10)
        finally:
            theirs.close()
    ours.setblocking(False)
    on_event(Event("started", job))
    return _Running(job, child, ours, timeout, time.monotonic() + LOADING + timeout)


@contextmanager
def _main_not_imported_again() -> Iterator[None]:
    """A child need not import the command line's module as its `__main__`: that costs 60 ms a trial."""
    main = sys.modules["__main__"]
    names = ("__file__", "__spec__")
    popped: dict[str, Any] = {name: main.__dict__.pop(name) for name in names if name in main.__dict__}
    main.__spec__ = None
    try:
        yield
    finally:
        main.__dict__.update(popped)


@contextmanager
def _guarded(block_signals: bool = True) -> Iterator[None]:
    """A process started inside imports nothing from the working folder. With `block_signals` it gets Ctrl-C only once it
    has installed its handlers, and this process gets it after the block."""
    ours = "PYTHONSAFEPATH" not in os.environ
    os.environ.setdefault("PYTHONSAFEPATH", process.SAFE_PATH)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, END_SIGNALS if block_signals else ())
    try:
        yield
    finally:
        if ours:
            del os.environ["PYTHONSAFEPATH"]
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _make_room_for_its_socket() -> None:
    """The name of a socket has 108 bytes (104 on macOS); a temporary folder with a longer name is left for another."""
    import tempfile
    from multiprocessing import util

    usual = tempfile.gettempdir()
    if len(os.fsencode(usual)) + len("/pymp-xxxxxxxx/listener-xxxxxxxx") < 104:
        return
    for shorter in filter(None, (os.environ.get("XDG_RUNTIME_DIR"), "/tmp", "/var/tmp")):
        with suppress(OSError):
            tempfile.tempdir = shorter
            util.get_temp_dir()  # is made once, and readable by its owner only
            break
    tempfile.tempdir = usual


def _sources(one: _Running) -> list[Any]:
    return [one.process.sentinel, *([] if one.has_closed else [one.line])]


def _receive(one: _Running, on_event: Callable[[Event], None]) -> None:
    """Read the messages of a trial; a line that is no message is passed over."""
    with suppress(BlockingIOError):
        while not one.has_closed and len(one.unread) < LONGEST:
            try:
                received = one.line.recv(65536)
            except ConnectionError:
                received = b""
            one.has_closed = not received
            one.unread += received
    *lines, one.unread = one.unread.split(b"\n")
    if len(one.unread) >= LONGEST:
        one.unread = b""
    for line in lines:
        if (message := message_of(line)) is None:
            continue
        if message[0] == "begun":
            one.deadline = time.monotonic() + one.timeout
        else:
            on_event(Event(message[0], one.job, message[1:]))


def _how_it_died(code: int) -> tuple[str, str, bool]:
    """Status, reason, and whether the machine caused it."""
    if code == NO_CODE and _server_has_ended():
        return "failed", "the process that starts trials was ended, and the trial with it", True
    if code >= 0:
        return "failed", f"its process ended with exit code {code} before the trial was done", False
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    hint = " (out of memory?)" if name == "SIGKILL" else ""
    return "failed", f"its process was ended by {name}{hint}", name in FROM_OUTSIDE


def _why_it_timed_out(one: _Running) -> tuple[str, bool]:
    import psutil

    with suppress(psutil.Error):
        if psutil.Process(one.process.pid).status() == psutil.STATUS_STOPPED:
            return f"its process was stopped by a signal, for {one.timeout:g} s or less", True
    return f"still running after {one.timeout:g} s, and stopped", False


def _conclude(
    one: _Running,
    running: Sequence[_Running],
    unrelated: Collection[int],
    status: str,
    reason: str,
    by_machine: bool,
) -> None:
    """End what is left of a trial, and write its ending if the trial itself could not."""
    _end(one)
    one.is_done = True
    _end_leftovers(running, unrelated)
    folder = Path(one.job.folder)
    if result_in(folder) is None:
        _own_folder(folder)
        process.finish(folder, one.job.trial, process.failure(reason, by_machine) | {"status": status})


def _end(one: _Running) -> None:
    """End the process and its group: a child that outlives a crash would disturb the next timing."""
    if one.process.pid is not None:
        try:
            os.killpg(one.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # nobody left in it
            one.process.kill()
        one.process.join(5)
    one.line.close()


def _end_leftovers(running: Sequence[_Running], unrelated: Collection[int]) -> None:
    """End the processes that ended trials left behind: they are now children of the server or of this process."""
    from multiprocessing import resource_tracker

    server, tracker = _server(), getattr(resource_tracker._resource_tracker, "_pid", None)
    keep = {one.process.pid for one in running if not one.is_done} | {server, tracker, *unrelated}
    for parent in (server, os.getpid()):
        if parent is not None:
            end_children(parent, {pid for pid in keep if pid is not None})


def _server() -> int | None:
    from multiprocessing import forkserver

    found: int | None = getattr(forkserver._forkserver, "_forkserver_pid", None)
    return found


def _server_has_ended(seconds: float = 1) -> bool:
    """Whether the server ends within so many seconds: its sockets close a little before it counts as ended."""
    if (server := _server()) is None:
        return False
    until = time.monotonic() + seconds
    while True:
        try:  # without taking note of it, which multiprocessing does before it starts another
            if os.waitid(os.P_PID, server, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return True
        except ChildProcessError:
            return True
        if time.monotonic() > until:
            return False
        time.sleep(0.01)


def _own_folder(folder: Path) -> None:
    """Make the folder of a trial, whatever a trial has put there or at its `trial.json`."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    if (blocked := folder / "trial.json").is_dir():
        shutil.rmtree(blocked)
