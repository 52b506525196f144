"""The data caches of this machine's processor. No torch here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_SYSFS = Path("/sys/devices/system/cpu")
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


@dataclass(frozen=True)
class Cache:
    """One level of cache.

    Attributes:
        name: "L1d", "L2", "L3".
        size: bytes of one such cache.
        count: the number of such caches among the cores that this process may use.
    """

    name: str
    size: int
    count: int


def data_caches() -> list[Cache]:
    """The caches that hold data, nearest to the core first; empty where the system does not report them."""
    if sys.platform == "darwin":
        return list(_from_sysctl())
    return _from_sysfs() or list(_from_getconf())


def last_level_cache(threads: int = 1) -> int | None:
    """Bytes of last-level cache that `threads` threads can have at most, or None where it is unknown.

    A processor with several last-level caches gives a single thread one of them.
    """
    caches = data_caches()
    return caches[-1].size * min(caches[-1].count, max(1, threads)) if caches else None


def _from_sysfs() -> list[Cache]:
    # Cores that share a cache report the same set of processors, in the same notation.
    sharers: dict[tuple[str, int], set[str]] = {}
    for core in sorted(os.sched_getaffinity(0)):
        for index in sorted((_SYSFS / f"cpu{core}" / "cache").glob("index*")):
            try:
                level, kind, size, shared = (
                    (index / field).read_text().strip()
                    for field in ("level", "type", "size", "shared_cpu_list")
                )
                size_in_bytes = in_bytes(size)
            except (OSError, ValueError):
                continue
            if kind != "Instruction":
                name = f"L{level}d" if kind == "Data" else f"L{level}"
                sharers.setdefault((name, size_in_bytes), set()).add(shared)
    return [Cache(name, size, len(shared)) for (name, size), shared in sorted(sharers.items())]


def _from_getconf() -> Iterator[Cache]:
    """From the C library, where the kernel reports none; some give the last level of all sockets together."""
    for name, key in (("L1d", "LEVEL1_DCACHE"), ("L2", "LEVEL2_CACHE"), ("L3", "LEVEL3_CACHE")):
        yield from _cache(name, _answer("getconf", f"{key}_SIZE"))


def _from_sysctl() -> Iterator[Cache]:
    for name, key in (("L1d", "l1dcachesize"), ("L2", "l2cachesize"), ("L3", "l3cachesize")):
        # On Apple silicon "perflevel0" are the fast cores, where the work runs.
        yield from _cache(name, sysctl(f"hw.perflevel0.{key}") or sysctl(f"hw.{key}"))


def _cache(name: str, size: str | None) -> Iterator[Cache]:
    if size and size.isdecimal() and int(size) > 0:
        yield Cache(name, int(size), 1)


def sysctl(key: str) -> str | None:
    """What macOS says about `key`, or None."""
    return _answer("sysctl", "-n", key)


def _answer(*command: str) -> str | None:
    try:
        found = subprocess.run(command, check=False, capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None


def in_bytes(text: str) -> int:
    """The number in the kernel's "32768K"."""
    match = re.fullmatch(r"(\d+)([KMG]?)", text)
    if match is None:
        raise ValueError(f"not a size: {text!r}")
    return int(match[1]) * _UNITS[match[2]]
