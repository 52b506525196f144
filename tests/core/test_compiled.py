"""Where compiled code is kept, and work on threads."""

import threading

import pytest

from lab.core.compiled import code_folder, code_kept, on_threads


def test_code_is_kept_below_the_cache_folder_under_a_name_of_its_sources(monkeypatch, tmp_path):
    (tmp_path / "a.py").write_text("x = 1")
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    before = code_folder(tmp_path)
    assert before.is_relative_to(tmp_path / "cache") and before == code_folder(tmp_path)
    (tmp_path / "a.py").write_text("x = 2")
    assert code_folder(tmp_path) != before


def test_functions_of_others_keep_their_own_place(monkeypatch, tmp_path):
    numba = pytest.importorskip("numba")
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    elsewhere = numba.config.CACHE_DIR
    with pytest.raises(RuntimeError), code_kept(tmp_path):
        assert str(code_folder(tmp_path)) == numba.config.CACHE_DIR
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
