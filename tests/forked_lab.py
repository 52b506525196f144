"""The real `lab`, in a process of its own that is forked from one which has imported what its commands import.

A command takes a fifth of the time that way. Tests of signals, terminals, encodings and imports start the console script.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Timer

from lab.core.compiled.code import code_folder

LAB = Path(sys.executable).parent / "lab"
IMPORTED = [
    "pandas", "scipy.special", "jinja2", "matplotlib.figure", "matplotlib.backends.backend_agg", "lab.cli.app",
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
    for module in IMPORTED:
        import_module(module)
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
    sys.argv, sys.modules["__main__"].__file__ = (
        command,
        command[0],
    )  # trials started by spawn import that file
    from lab.cli.app import main

    main()


if __name__ == "__main__":
    _serve()
