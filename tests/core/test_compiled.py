"""Where compiled code is kept, and work on threads."""

import gc
import os
import re
import shutil
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from queue import SimpleQueue

import pytest

from lab.core.compiled import threads as pool
from lab.core.compiled.code import code_folder, code_kept, refuse_without_numba
from lab.core.compiled.threads import on_threads
from lab.core.source_digest import CORE, source_files
from lab.core.trial import Refused


def test_code_is_kept_by_all_that_its_module_imports(monkeypatch, tmp_path):
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    forward = "lab.core.attention.numba.forward"
    assert code_folder(forward).is_relative_to(tmp_path / "cache")
    assert code_folder(forward) != code_folder("lab.core.attention.numba.decode")
    # Constants become part of compiled code, also those of a folder without kernels: dropout.PAIR_FIRST.
    files = {str(file.relative_to(CORE)) for file in source_files(forward)}
    assert {"attention/dropout.py", "compiled/vectors.py", "attention/numba/instructions.py"} <= files


def test_a_constant_of_another_folder_that_changes_compiles_anew(monkeypatch, tmp_path):
    """In a process of each, with the code of the first at hand."""
    pytest.importorskip("numba")
    core = tmp_path / "lab" / "core"
    shutil.copytree(CORE, core, ignore=lambda folder, names: {"__pycache__"} & set(names))
    (core / "attention" / "numba" / "probe.py").write_text(
        "from ...compiled.kernel import kernel\nfrom ..dropout import PAIR_FIRST\n\n\n"
        "@kernel\ndef probe():\n    return PAIR_FIRST\n"
    )
    script = (
        "from lab.core.attention.numba.probe import probe\nfrom lab.core.attention import dropout\n"
        "assert dropout.__file__.startswith(PLACE), dropout.__file__\n"
        "print(probe(), sum(probe.stats.cache_hits.values()))"
    ).replace("PLACE", repr(str(tmp_path)))
    environment = {**os.environ, "LAB_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(tmp_path)}
    environment.pop("NUMBA_CACHE_DIR", None)

    def seen():
        given = [sys.executable, "-c", script]
        return subprocess.check_output(given, text=True, env=environment, cwd=tmp_path).split()

    assert seen() == [str(0x2C1B3C6D), "0"] and seen() == [str(0x2C1B3C6D), "1"]
    dropout = core / "attention" / "dropout.py"
    dropout.write_text(dropout.read_text().replace("0x2C1B3C6D", "0x12345"))
    assert seen() == [str(0x12345), "0"]


def test_functions_of_others_keep_their_own_place(monkeypatch):
    numba = pytest.importorskip("numba")
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    elsewhere = numba.config.CACHE_DIR
    with pytest.raises(RuntimeError), code_kept("lab.core.softmax.numba.columns"):
        assert str(code_folder("lab.core.softmax.numba.columns")) == numba.config.CACHE_DIR
        raise RuntimeError
    assert elsewhere == numba.config.CACHE_DIR


@pytest.mark.parametrize("threads", [1, 3])
def test_each_share_is_worked_on_once_and_on_a_thread_of_its_own(threads):
    met, seen = threading.Barrier(threads, timeout=20), {}

    def work(index):
        met.wait()  # none returns before all have begun: they run at once
        seen[index] = threading.current_thread()

    on_threads(work, threads)
    assert sorted(seen) == list(range(threads)) and len(set(seen.values())) == threads
    assert seen[0] is threading.current_thread()


def test_what_one_of_them_raises_is_raised():
    def work(index):
        if index == 1:
            raise ValueError("of the second")

    with pytest.raises(ValueError, match="of the second"):
        on_threads(work, 2)


def test_numba_that_is_missing_broken_or_switched_off_is_said_in_one_line(monkeypatch):
    numba = pytest.importorskip("numba")
    refuse_without_numba("this")
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    with pytest.raises(Refused, match="this needs Numba's compiler, which NUMBA_DISABLE_JIT turns off"):
        refuse_without_numba("this")
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(Refused, match="this needs Numba: pip install numba"):
        refuse_without_numba("this")


def test_what_is_inlined_keeps_its_arithmetic_whoever_calls_it_first():
    numba = pytest.importorskip("numba")
    from lab.core.compiled.kernel import inlined

    @inlined
    def rounded(x):
        return (x + numba.float32(2**23)) - numba.float32(2**23)

    @numba.njit(fastmath=True)
    def in_any_order(x):
        return rounded(x)

    assert in_any_order(numba.float32(2.25)) == 2


def test_every_compiled_function_says_how_free_its_arithmetic_is():
    """Unsaid, it is that of whoever calls first."""
    unsaid = [
        f"{path.name}: {line.strip()}"
        for path in (Path(__file__).parents[2] / "core").rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"@njit\b|\bnjit\(", line) and not re.search(r"fastmath=|\*\*_", line)
    ]
    assert not unsaid


def test_what_threads_know_by_address_outlives_who_asked():
    """Whoever is interrupted does not wait for the others, which still use it."""

    class Owned:
        pass

    owned, begun, over, gone = Owned(), threading.Event(), threading.Event(), threading.Event()
    weakref.finalize(owned, gone.set)

    def work(index):
        if index == 0:
            assert begun.wait(20)
            raise KeyboardInterrupt
        begun.set()
        assert over.wait(20)

    def wait(queue):
        raise KeyboardInterrupt  # once more, while it waits for the other

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pool, "SimpleQueue", type("Queue", (SimpleQueue,), {"get": wait}))
        pool._waiting.setdefault(2, SimpleQueue())
        threading.Thread(target=pool._serve, args=(pool._waiting[2],), daemon=True).start()
        on_threads(work, 2, owned)
    del owned
    gc.collect()
    assert not gone.is_set()
    over.set()
    assert gone.wait(20)
