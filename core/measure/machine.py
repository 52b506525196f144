"""What this machine is, how busy it is, and how many threads work on it.

Used by `lab env` and before a trial's process starts, so torch is imported only where it must be there.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from .caches import data_caches, last_level_cache, sysctl
from .load import load_note
from .threads import thread_environment, use_threads

__all__ = ["load_note", "machine_facts", "thread_environment", "usable_cores", "use_threads"]

# Packages whose versions can change results; those that are not installed are left out.
PACKAGES = (
    "paperlab", "torch", "triton", "numpy", "numba", "llvmlite", "scipy", "pandas", "pydantic",
    "transformers", "tokenizers", "datasets", "trl", "accelerate", "reasoning-gym", "ray",
)  # fmt: skip


def machine_facts(gpus: bool | None = None) -> dict[str, Any]:
    """The facts of this machine that results depend on, for JSON; None where unknown.

    Sizes are in bytes, clocks in MHz. There is no user name, host name or path among them, so that a report can be
    published.

    Args:
        gpus: name the GPUs too, which imports torch and starts CUDA; never in a process that is forked afterwards.
            None: only if torch is already imported.
    """
    memory = psutil.virtual_memory()
    if gpus is None:
        gpus = "torch" in sys.modules
    return {
        "cpu": cpu_model(),
        "microarchitecture": microarchitecture(),
        "architecture": platform.machine(),
        "physical_cores": psutil.cpu_count(logical=False),
        "logical_cores": psutil.cpu_count(),
        "usable_cores": usable_cores(),
        "cpu_quota": _cpu_quota(),
        "caches": [asdict(cache) for cache in data_caches()],
        "last_level_cache": last_level_cache(),
        "memory": memory.total,
        "memory_available": memory.available,
        "os": f"{platform.system()} {platform.release()}",
        "virtual_machine": _is_virtual_machine(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": _versions(),
        "gpus": _gpus() if gpus else None,
        "load_average": _load_average(),
        "on_battery": _on_battery(),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "clock": _clock(),
    }


def usable_cores() -> int:
    """Logical cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_model() -> str | None:
    """The name of the processor."""
    if sys.platform == "darwin":
        return sysctl("machdep.cpu.brand_string")
    match = re.search(r"^model name\s*: *(.+)$", _read("/proc/cpuinfo") or "", re.MULTILINE)
    return match[1].strip() if match else platform.processor() or None


def microarchitecture() -> str | None:
    """The processor's design as LLVM calls it, such as "znver4"; None without Numba's LLVM.

    A model's name often leaves open which one it is, and with it how wide the vectors are.
    """
    try:
        from llvmlite import binding
    except ImportError:
        return None
    return str(binding.get_host_cpu_name())


def processor() -> str:
    """`AMD EPYC (znver4)`: model and design."""
    model, design = cpu_model() or platform.machine(), microarchitecture()
    return f"{model} ({design})" if design else model


def _is_virtual_machine() -> bool | None:
    """On x86 from the processor flag of a hypervisor; None elsewhere."""
    flags = re.search(r"^flags\s*:(.+)$", _read("/proc/cpuinfo") or "", re.MULTILINE)
    return "hypervisor" in flags[1].split() if flags else None


def _cpu_quota() -> float | None:
    """The CPU limit of a container in cores (cgroup v2), None without one."""
    quota, _, period = (_read("/sys/fs/cgroup/cpu.max") or "").partition(" ")
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() else None


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _gpus() -> list[dict[str, Any]]:
    import torch

    if not torch.cuda.is_available():
        return []
    return [
        {
            "name": properties.name,
            "memory": properties.total_memory,
            "capability": f"{properties.major}.{properties.minor}",
            "multiprocessors": properties.multi_processor_count,
        }
        for properties in map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    ]


def _load_average() -> list[float] | None:
    """Over 1, 5 and 15 minutes."""
    try:
        return [round(load, 2) for load in psutil.getloadavg()]
    except OSError:
        return None


def _on_battery() -> bool | None:
    """None for machines without a battery, or that do not report it."""
    try:
        battery = psutil.sensors_battery()
    except (AttributeError, OSError, RuntimeError):
        return None
    return None if battery is None or battery.power_plugged is None else not battery.power_plugged


def _clock() -> dict[str, int | None] | None:
    try:
        frequency = psutil.cpu_freq()
    except (AttributeError, OSError, RuntimeError, NotImplementedError):
        return None
    if frequency is None:
        return None
    # Virtual machines and some ARM boards say 0 for the highest.
    return {"now": round(frequency.current), "max": round(frequency.max) or None}


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
