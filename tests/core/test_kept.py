"""Compiled code on disk, and what is compiled before a run."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.core.compiled.code import code_folder
from lab.core.trial import Kernel, Refused

numba = pytest.importorskip("numba")


def twice(x):  # type: ignore[no-untyped-def]
    return x + x


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], Any]:
    """A new dispatcher of one function, as another process would have it."""
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    from lab.core.compiled.kept import keep

    return lambda: keep(numba.njit(twice), twice)


def compiled(of: Any) -> int:
    return sum(of.stats.cache_misses.values())


def test_a_later_process_loads_what_an_earlier_one_has_compiled(made: Callable[[], Any]) -> None:
    first, second = made(), made()
    assert first(1.5) == second(1.5) == 3.0
    assert (compiled(first), compiled(second)) == (1, 0)


def test_two_that_keep_two_types_at_once_both_find_their_own(
    made: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from numba.core.caching import IndexDataCacheFile

    usual = IndexDataCacheFile._save_index

    def slow(self: Any, overloads: Any) -> None:
        time.sleep(0.2)  # the other has read the index meanwhile, if it may
        usual(self, overloads)

    monkeypatch.setattr(IndexDataCacheFile, "_save_index", slow)
    results = []
    for kind in (numba.float64, numba.int64):
        one = made()
        one._cache.disable()
        one.compile((kind,))
        one._cache.enable()
        results.append((one._cache, *one.overloads.popitem()))
    threads = [
        threading.Thread(target=cache.save_overload, args=(types, result)) for cache, types, result in results
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    later = made()
    assert (later(1.5), later(2)) == (3.0, 4) and compiled(later) == 0


def test_a_damaged_file_is_compiled_anew(made: Callable[[], Any], tmp_path: Path) -> None:
    made()(1.5)
    (file,) = (tmp_path / "cache").rglob("*.nbc")
    file.write_bytes(file.read_bytes()[:100])
    again = made()
    assert again(1.5) == 3.0 and compiled(again) == 1
    assert made()(1.5) == 3.0 and len(file.read_bytes()) > 100


def test_a_full_disk_costs_the_keeping_and_not_the_result(
    made: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from numba.core.caching import IndexDataCacheFile

    def full(self: Any, *of: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(IndexDataCacheFile, "save", full)
    assert made()(1.5) == 3.0


def test_where_the_cache_folder_cannot_be_written_code_is_kept_in_the_temporary_one(
    made: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert code_folder("lab.core.trial").is_relative_to(tmp_path / next(tmp_path.glob("lab-cache-*")).name)
    first, second = made(), made()
    assert first(1.5) == second(1.5) == 3.0 and compiled(second) == 0


def test_what_is_not_kept_yet_is_found_without_compiling_it(made: Callable[[], Any]) -> None:
    from lab.core.compiled.ahead import compile_now, not_kept

    def refused() -> None:
        raise Refused("not here")

    def kernels() -> list[Kernel]:
        of = made()
        return [
            Kernel("float", "twice", 1.0, lambda: of(1.5)),
            Kernel("int", "twice", 1.0, lambda: of(2)),
            Kernel("none", "twice", 1.0, refused),
        ]

    first, told = kernels(), list[tuple[int, int, str]]()
    assert [kernel.name for kernel in not_kept(first)] == ["float", "int"]
    compile_now(first[:1], lambda *what: told.append(what))
    assert told == [(0, 1, "float")]
    assert [kernel.name for kernel in not_kept(kernels())] == ["int"]


def test_kernels_that_belong_together_are_compiled_by_one_process_and_the_longest_first() -> None:
    from lab.core.compiled.ahead import groups, seconds_to_compile

    def kernel(name: str, together: str, seconds: float) -> Kernel:
        return Kernel(name, together, seconds, lambda: None)

    few = [kernel("a", "x", 1), kernel("b", "y", 5), kernel("c", "x", 2), kernel("a", "x", 1)]
    found = groups(few)
    assert [(word, [each.name for each in group]) for word, group in found.items()] == [
        ("y", ["b"]),
        ("x", ["a", "c"]),
    ]
    assert seconds_to_compile(few, 1) == 8 and seconds_to_compile(few, 2) == 5 == seconds_to_compile(few, 9)
    assert seconds_to_compile([], 2) == 0
