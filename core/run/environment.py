"""The environment of a run: machine, versions, threads, load, and the state of lab's own code."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..own_files import digest_of_files

CODE = Path(__file__).resolve().parents[2]


class NoDevice(Exception):
    """The device or the threads of a command do not exist here; the message says what does."""


@dataclass(frozen=True)
class Resources:
    """What a run computes with: a device, the threads of each trial, the trials side by side, what multiplies."""

    device: str
    threads: int
    workers: int
    products: Mapping[str, Any] = field(default_factory=dict)  # what the run records of them


def resources(device: str, threads: int, workers: int | None) -> Resources:
    """The resources that the options of a command name, `auto` resolved.

    Raises NoDevice: no CUDA here, or more threads than cores.
    """
    from ..measure.machine import usable_cores

    if device == "cuda" and not has_cuda():
        raise NoDevice("--device cuda: torch sees no CUDA device here; --device cpu works everywhere")
    cores = usable_cores()
    if threads > cores:
        raise NoDevice(f"--threads {threads}: this process may use {cores} core{'s' if cores > 1 else ''}")
    chosen = "cuda" if device == "cuda" or (device == "auto" and has_cuda()) else "cpu"
    return Resources(chosen, threads, workers or max(1, cores // threads))


def has_cuda() -> bool:
    """Whether torch can use a GPU; without an NVIDIA driver the answer costs no import of torch."""
    if not any(Path("/dev").glob("nvidia[0-9]*")) and not Path("/dev/dxg").exists():
        return False
    import torch

    return torch.cuda.is_available()


def environment_facts(used: Resources) -> dict[str, Any]:
    """The content of environment.json."""
    from ..measure.load import load_note
    from ..measure.machine import machine_facts

    facts = machine_facts(gpus=used.device == "cuda")
    facts |= {"device": used.device, "threads": used.threads, "workers": used.workers}
    facts["busy"] = load_note(used.threads)
    facts["lab"] = {"commit": _git("rev-parse", "HEAD"), "changed": bool(changes())}
    return facts


def code_digest(core: Path = CODE / "core") -> str:
    """A digest of lab's own code, without the folders that only read results."""
    readers = (core / "analysis", core / "report")
    return digest_of_files(
        core, (file for file in core.rglob("*.py") if not any(map(file.is_relative_to, readers)))
    )


def changes() -> str:
    """Uncommitted changes of lab's own code; for the run's folder only, never for a report."""
    return _git("diff", "HEAD") or ""


def _git(*arguments: str) -> str | None:
    if not (CODE / ".git").exists():  # an installed wheel, perhaps inside somebody else's repository
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(CODE), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
