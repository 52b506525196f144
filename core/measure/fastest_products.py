"""Which library multiplies which matrices: the fastest that is right, found once on a machine. No torch at import.

Of a linear layer's three products each is a class, once more by its size. For each class the libraries are compared
(`compared_products`), and what was found is kept in the cache folder, for this processor, PyTorch, code and number of
threads. A run records what it multiplies by, and does so to its end.

$LAB_PRODUCTS is "fastest" where it is not set; "pytorch" leaves all products to PyTorch; "onednn" and "ours" name a
library for all products that it does right.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from ..atomic import write
from ..cache_folder import cache_folder
from ..source_digest import source_digest
from .machine import cpu_model

SWITCH, FASTEST, PYTORCH = "LAB_PRODUCTS", "fastest", "pytorch"
SETTINGS = (FASTEST, PYTORCH, "onednn", "ours")

ROLES = ("forward", "input gradient", "weight gradient")
SIZES: Mapping[str, int] = {"large": 1 << 27, "medium": 1 << 24, "small": 1 << 21}
"""The least number of operations, 2·m·k·n. Less stays with PyTorch: a library takes up to 30 µs to begin."""
NARROWEST = 32
"""Products with a side below this stay with PyTorch too."""

Table = Mapping[tuple[int, str, str, str], str]
"""Threads, dtype, role and size to a library's name; what is not there is PyTorch's."""


class Unusable(RuntimeError):
    """What is to multiply is not here, or not right here."""


@dataclass(frozen=True)
class Comparison:
    """The libraries on one class of products.

    Attributes:
        library: the one to use.
        default: PyTorch's.
        faster: how many times as fast as the default, by library.
        error: how many times the default's error against float64.
        refused: those whose error is too large.
    """

    library: str
    default: str
    faster: dict[str, float]
    error: dict[str, float]
    refused: list[str]


Comparisons = dict[str, dict[str, Comparison]]
"""By dtype, then by role and size: "weight gradient, large"."""


def setting() -> str:
    """$LAB_PRODUCTS. Raises ValueError: it is none of `SETTINGS`."""
    chosen = os.environ.get(SWITCH) or FASTEST
    if chosen not in SETTINGS:
        raise ValueError(f"{SWITCH}={chosen} should be {', '.join(SETTINGS[:-1])} or {SETTINGS[-1]}")
    return chosen


def size_of(m: int, k: int, n: int) -> str | None:
    """The size of a product (m, k)·(k, n); None: it stays with PyTorch."""
    if min(m, k, n) < NARROWEST:
        return None
    return next((name for name, least in SIZES.items() if 2 * m * k * n >= least), None)


def record(chosen: str, found: Mapping[int, Comparisons]) -> dict[str, Any]:
    """What a run records, for JSON: the setting, and by number of threads what was found.

    Raises Unusable: a library that the setting names is not here, or right in no class.
    """
    if chosen == PYTORCH:
        return {"setting": PYTORCH}
    threads = {
        str(number): {
            dtype: {name: asdict(each) | {"library": _taken(chosen, each)} for name, each in classes.items()}
            for dtype, classes in comparisons.items()
        }
        for number, comparisons in found.items()
    }
    if chosen != FASTEST and not any(
        _taken(chosen, each) == chosen
        for comparisons in found.values()
        for classes in comparisons.values()
        for each in classes.values()
    ):
        raise Unusable(f"{SWITCH}={chosen}: it is not here, or its error is too large here (lab env)")
    return {"setting": chosen, "threads": threads}


def _taken(chosen: str, comparison: Comparison) -> str:
    if chosen == FASTEST:
        return comparison.library
    is_right = chosen in comparison.faster and chosen not in comparison.refused
    return chosen if is_right else comparison.default


def table_of(recorded: Mapping[str, Any]) -> Table:
    """What multiplies what, other than PyTorch, by a `record`."""
    found = {}
    for threads, comparisons in recorded.get("threads", {}).items():
        for dtype, classes in comparisons.items():
            for name, each in classes.items():
                role, size = name.split(", ")
                if each["library"] != each["default"]:
                    found[int(threads), dtype, role, size] = str(each["library"])
    return found


def in_words(recorded: Mapping[str, Any]) -> dict[str, str]:
    """For people: "products, 1 thread" to "float32: weight gradient, large by onednn (2.1x); mkl else; refused: …"."""
    found = {}
    for threads, comparisons in recorded.get("threads", {}).items():
        parts = []
        for dtype, classes in comparisons.items():
            default, errors = "", dict[str, float]()
            taken = []
            for name, each in classes.items():
                default, library = each["default"], each["library"]
                if library != default:
                    taken.append(f"{name} by {library} ({each['faster'][library]:.2g}x)")
                for refused in each["refused"]:
                    errors[refused] = max(errors.get(refused, 0.0), float(each["error"][refused]))
            said = [*taken, f"{default} for the rest" if taken else default]
            said += [f"{name} refused (error {error:,.3g}x)" for name, error in errors.items()]
            parts.append(f"{dtype}: {'; '.join(said)}")
        found[f"products, {threads} thread{'s' * (threads != '1')}"] = ". ".join(parts)
    return found


_in_use: Table | None = None


def use(recorded: Mapping[str, Any]) -> None:
    """Multiply by a `record` from now on, in this process.

    Raises Unusable: a library of it is not here.
    """
    global _in_use
    table = table_of(recorded)
    if table:
        import torch

        from .products import libraries

        for (_, dtype, _, _), name in table.items():
            if name not in libraries(getattr(torch, dtype)):
                raise Unusable(
                    f"products of this run are done by {name} in {dtype}, which is not here: "
                    "go on where the run began, or start a new one"
                )
    _in_use = table


def in_use() -> Table:
    """What multiplies what in this process: by `use`, or else by what has been found on this machine before."""
    global _in_use
    if _in_use is None:
        chosen = setting()
        numbers = range(1, (os.cpu_count() or 1) + 1) if chosen != PYTORCH else ()
        found = {number: known for number in numbers if (known := kept(number)) is not None}
        if not found and chosen not in (FASTEST, PYTORCH):
            raise Unusable(f"{SWITCH}={chosen}: nothing was compared on this machine yet; `lab env` compares")
        _in_use = table_of(record(chosen, found)) if found else {}
    return _in_use


def kept(threads: int) -> Comparisons | None:
    """What was found on this machine with so many threads, from the cache; None where there is nothing, or damaged."""
    try:
        data = json.loads(_file(threads).read_bytes())
        return {
            dtype: {name: Comparison(**each) for name, each in classes.items()}
            for dtype, classes in data["found"].items()
            if data["of"] == _machine(threads)
        } or None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def keep(threads: int, found: Comparisons) -> None:
    """Write what was found to the cache; where that cannot be written, it is found again next time."""
    data = {
        "of": _machine(threads),
        "found": {
            dtype: {name: asdict(each) for name, each in classes.items()} for dtype, classes in found.items()
        },
    }
    with suppress(OSError):
        _file(threads).parent.mkdir(parents=True, exist_ok=True)
        write(_file(threads), json.dumps(data, indent=1))


def find(threads: int) -> Comparisons:
    """From the cache, or compared now in this process, which takes about a second; two processes do not compare at once."""
    from filelock import FileLock

    from .compared_products import compared

    with ExitStack() as held:
        with suppress(OSError, NotImplementedError):  # a cache that cannot be written to, or has no locks
            _file(threads).parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(_file(threads).with_suffix(".lock")))
        if (found := kept(threads)) is None:
            found = compared(threads)
            keep(threads, found)
    return found


def _file(threads: int) -> Path:
    name = hashlib.sha256(json.dumps(_machine(threads)).encode()).hexdigest()[:16]
    return cache_folder() / "products" / f"{name}.json"


def _machine(threads: int) -> list[Any]:
    """All that speed and error depend on."""
    variables = {
        name: value
        for name, value in sorted(os.environ.items())
        if re.match("ONEDNN_|DNNL_|MKL_|OPENBLAS_|ATEN_CPU_|TORCH_MKLDNN_", name)
        and not re.search("THREADS|VERBOSE", name)
    }
    return [*_processor(), *_versions(), source_digest(__name__), variables, threads]


@cache
def _processor() -> list[str | None]:
    """Its name, which virtual machines may shorten to "AMD EPYC", and a digest of what it can do."""
    flags: list[str] = []
    with suppress(OSError):
        found = re.search(r"^(flags|Features)\s*:(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        flags = sorted(found[2].split()) if found else []
    return [cpu_model(), platform.machine(), hashlib.sha256(" ".join(flags).encode()).hexdigest()[:16]]


@cache
def _versions() -> list[str | None]:
    found: list[str | None] = []
    for package in ("torch", "numba", "llvmlite"):
        try:
            found.append(metadata.version(package))
        except metadata.PackageNotFoundError:
            found.append(None)
    return found
