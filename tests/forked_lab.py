"""The real `lab`, in a process of its own that is forked from one which has imported what its commands import.

A command takes a tenth of the time that way. The server that it forks trials from is forked as well, so that torch is there.
Tests of signals, terminals, encodings and imports start the console script, those of trial processes a server of their own.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from itertools import pairwise
from multiprocessing import util
from pathlib import Path
from threading import Timer

from lab.core.compiled.code import code_folder
from lab.core.measure.threads import thread_environment

LAB = Path(sys.executable).parent / "lab"
_spawn = util.spawnv_passfds
IMPORTED = [
    "torch", "pandas", "scipy.special", "jinja2", "matplotlib.figure", "matplotlib.backends.backend_agg", "lab.cli.app",
    "lab.core.run.results", "lab.core.run.execute", "lab.core.analysis.comparison", "lab.core.analysis.judge",
    "lab.core.analysis.control", "lab.core.analysis.gaps", "lab.core.analysis.summary", "lab.core.report.plot",
    "lab.core.report.page", "lab.core.report.table",
]  # fmt: skip


def lab(
    folder: Path, *arguments: str | Path, timeout: float = 240, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `lab ARGUMENTS` in that folder, standard output and error in files."""
    command = [str(LAB), *map(str, arguments)]
    with tempfile.TemporaryDirectory() as kept:
        out, err = Path(kept, "out"), Path(kept, "err")
        request = {"command": command, "folder": str(folder), "out": str(out), "err": str(err)}
        server = _server()
        assert server.stdin is not None and server.stdout is not None
        server.stdin.write(json.dumps(request | {"environment": os.environ | environment}) + "\n")
        server.stdin.flush()
        process = int(server.stdout.readline())
        too_long = Timer(timeout, os.kill, (process, signal.SIGKILL))
        too_long.start()
        code = int(server.stdout.readline())
        too_long.cancel()
        return subprocess.CompletedProcess(command, code, out.read_text(), err.read_text())


def own_cache(folder: Path) -> str:
    """For LAB_CACHE: `cache` in that folder, with nothing of other tests in it but compiled code, which would take each of
    them up to half a minute; a digest of its source is in its name."""
    compiled, link = code_folder("lab.core.compiled.kernel").parent, folder / "cache" / "numba"
    for needed in (compiled, link.parent):
        needed.mkdir(parents=True, exist_ok=True)
    if not link.exists():
        link.symlink_to(compiled)
    return str(link.parent)


@cache
def _server() -> subprocess.Popen[str]:
    started = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    atexit.register(started.kill)
    return started


def _serve() -> None:
    """Answer each line of standard input, a command, with the number of its process and then its exit code."""
    os.environ.update(thread_environment(1))  # as the server of trial processes has it; a command has its own
    for module in IMPORTED:
        import_module(module)
    gc.freeze()  # no command walks through what they all share
    for line in sys.stdin:
        request = json.loads(line)
        process = os.fork()
        if not process:
            _become(request)
            return
        print(process, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)


def _become(request: dict[str, object]) -> None:
    """Run the command as the console script would: its arguments, folder, environment and files."""
    command, environment = request["command"], request["environment"]
    assert isinstance(command, list) and isinstance(environment, dict)
    for number, path in ((0, os.devnull), (1, str(request["out"])), (2, str(request["err"]))):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), number)
    os.chdir(str(request["folder"]))
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # which torch has asked for
    sys.argv, sys.modules["__main__"].__file__ = (
        command,
        command[0],
    )  # trials started by spawn import that file
    util.spawnv_passfds = _fork_server
    from lab.cli.app import main

    try:
        main()
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        # As an interpreter ends, but for taking every module apart, which would be most of the time of a short command.
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code or 0)


def _fork_server(path: bytes, arguments: Sequence[str], descriptors: Sequence[int]) -> int:
    """As `spawnv_passfds`, which starts a fresh interpreter: one that loads torch takes two seconds for each run."""
    if "forkserver" not in arguments[-1]:
        return _spawn(path, arguments, descriptors)
    if process := os.fork():
        return process
    try:
        kept = sorted({0, 1, 2, *descriptors})
        for before, after in pairwise([*kept, os.sysconf("SC_OPEN_MAX")]):
            os.closerange(before + 1, after)
        exec(arguments[-1])  # what the interpreter was told to run
    finally:
        os._exit(0)


if __name__ == "__main__":
    _serve()
