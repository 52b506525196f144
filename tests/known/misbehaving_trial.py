"""A trial that does to its runner, its machine and itself what trials should not."""

import ctypes
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

from lab.core.trial import Context
from lab.core.trial import Params as Base


class Params(Base):
    what: str
    file: str = ""  # where numbers of processes are left, or what is waited for


def trial(params: Params, context: Context) -> dict[str, float]:
    match params.what:
        case "says a word for a number":
            context.progress("3", "10")  # type: ignore[arg-type]
        case "records at no step":
            context.record(step="one", loss=1.0)  # type: ignore[arg-type]
        case "writes to every descriptor":
            rubbish = b'\x80\x04\xff\xff["progress", 1, {}]\n["metrics", null, {"a": "b"}]\n[[[[\n'
            for descriptor in range(3, 40):
                with suppress(OSError):
                    os.write(descriptor, rubbish * 9)
        case "closes every descriptor":
            os.closerange(3, 100)
        case "removes its folder":
            shutil.rmtree(context.folder)
        case "removes its folder and dies":
            shutil.rmtree(context.folder)
            os._exit(3)
        case "puts a file in the place of its folder":
            shutil.rmtree(context.folder)
            context.folder.write_text("")
        case "puts a folder in the place of trial.json":
            (context.folder / "trial.json" / "more").mkdir(parents=True)
        case "tears trial.json and dies":
            (context.folder / "trial.json").write_text('{"kind": "train", ')
            os._exit(0)
        case "goes elsewhere":
            os.chdir("/")
        case "interrupts itself":
            raise KeyboardInterrupt
        case "is killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "is killed at first":
            if not os.path.exists(params.file):
                os.kill(os.getpid(), signal.SIGKILL)
        case "fails at first":
            if not os.path.exists(params.file):
                raise ValueError("not yet")
        case "finds no room for a checkpoint":
            resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
            context.save({"much": "x" * 10000})
        case "needs more memory than there is":
            import torch

            torch.empty(1 << 60)
        case "crashes with a child alive":
            if os.fork() == 0:
                time.sleep(1000)
            os.kill(os.getpid(), signal.SIGSEGV)
        case "ends its server":
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(1000)
        case "leaves children":
            _start_children(params.file)
        case "starts children and never lets Python run":
            _start_children(params.file)
            ctypes.PyDLL(None).sleep(1000)  # which keeps the interpreter's lock
        case "says more than anyone hears":
            for done in range(200_000):
                context.progress(done, 200_000)
        case "waits":
            context.progress(1, 2)
            while not os.path.exists(params.file):
                time.sleep(0.01)
    return {"seed": float(context.seed)}


def _start_children(file: str) -> None:
    """One in this group, one in a session of its own, one whose parent has ended; and this process."""
    sleep = [sys.executable, "-c", "import time; time.sleep(1000)"]
    pids = [os.getpid(), subprocess.Popen(sleep).pid, subprocess.Popen(sleep, start_new_session=True).pid]
    twice = subprocess.run(
        [sys.executable, "-c", f"import subprocess; print(subprocess.Popen({sleep}, start_new_session=True, stdout=2).pid)"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    pids.append(int(twice.stdout))
    with open(f"{file}.new", "w") as target:
        target.write(" ".join(map(str, pids)))
    os.rename(f"{file}.new", file)
