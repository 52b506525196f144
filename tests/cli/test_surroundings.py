"""Closed and narrow outputs, encodings without our signs, users without a home: no command ends in a traceback."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from lab.core.cache_folder import cache_folder

LAB = Path(sys.executable).parent / "lab"


def shell(command: str, cwd: Path, **environment: str | None) -> subprocess.CompletedProcess[bytes]:
    """Of the environment what is None is left out."""
    kept = {key: value for key, value in (os.environ | environment).items() if value is not None}
    done = subprocess.run(
        ["bash", "-c", command.replace("lab ", f"{LAB} ")],
        cwd=cwd,
        env=kept,
        capture_output=True,
        timeout=120,
    )
    assert b"Traceback" not in done.stderr + done.stdout, done.stderr.decode()
    return done


def test_who_hears_nothing_or_enough_is_no_failure(tmp_path: Path) -> None:
    for command in ("lab list | true; exit ${PIPESTATUS[0]}", "lab list >&- 2>&-"):
        assert shell(command, tmp_path).returncode == 0, command
    full = shell("lab list >/dev/full", tmp_path)
    assert full.returncode == 1 and b"No space left" in full.stderr and full.stderr.count(b"\n") == 1


@pytest.mark.parametrize("columns", ["0", "", "-5", "many", "²", "3"])
def test_a_width_that_is_none_is_no_width(columns: str, tmp_path: Path) -> None:
    assert (
        shell("lab list", tmp_path, COLUMNS=columns).stdout
        == shell("lab list", tmp_path, COLUMNS=None).stdout
    )


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_signs_that_an_encoding_lacks_are_written_in_others(
    encoding: str, stored: Path, tmp_path: Path
) -> None:
    shutil.copytree(stored, tmp_path / "results")
    for command in ("lab compare known", "lab"):
        done = shell(command, tmp_path, PYTHONIOENCODING=encoding, PYTHONUTF8="0")
        assert done.returncode == 0 and done.stdout.decode(encoding)
    assert ("lab - claims" if encoding == "ascii" else "lab · claims") in done.stdout.decode(encoding)


def test_bytes_that_are_no_utf8_and_a_backend_that_is_not_here(stored: Path, tmp_path: Path) -> None:
    odd = os.fsdecode(bytes(tmp_path) + b"/caf\xe9")
    shutil.copytree(stored, Path(odd) / "results")
    backend = {"MPLBACKEND": "module://matplotlib_of_somebody_else.backend"}
    done = shell("lab report && lab runs --json", Path(odd), **backend)
    assert done.returncode == 0 and (Path(odd) / "results" / "report.html").is_file()
    # What is typed may be no UTF-8 either; it becomes part of run.json.
    known = Path(__file__).parents[1] / "known" / "known.yaml"
    options = "--variants same --repeats 1 -s sample_seconds=0.05 -s size=1"
    done = shell(f"lab run {known} {options} --label $'caf\\xe9' && lab runs", Path(odd), **backend)
    assert done.returncode == 0 and b"caf" in done.stdout


def test_a_terminal_obeys_nothing_that_a_run_says(stored: Path, tmp_path: Path) -> None:
    shutil.copytree(stored, tmp_path / "results")
    for path in tmp_path.glob("results/*/*/run.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"label": "\x1b]0;owned\x07\x1b[31mred"}))
    ours, theirs = pty.openpty()
    with subprocess.Popen([LAB, "runs"], cwd=tmp_path, stdout=theirs, stderr=theirs) as running:
        os.close(theirs)
        output = b""
        try:
            while part := os.read(ours, 4096):
                output += part
        except OSError:  # how a terminal ends
            pass
        assert running.wait(60) == 0
    os.close(ours)
    assert (
        "␛]0;owned".encode() in output.replace(b"\r\n", b"")
        and b"\x1b]0" not in output
        and b"\x1b[31m" not in output
    )


@pytest.mark.parametrize("value", ["", "relative/folder"])
def test_an_empty_or_relative_cache_variable_is_none(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LAB_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    assert cache_folder() == tmp_path / ".cache" / "lab"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert cache_folder() == tmp_path / "x" / "lab"
    monkeypatch.setenv("LAB_CACHE", "mine")
    assert cache_folder() == Path("mine")


def test_who_has_no_home_has_a_folder_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.delenv("LAB_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert cache_folder() == tmp_path / "x" / "lab", "nobody's home is not asked for"
    monkeypatch.delenv("XDG_CACHE_HOME")
    made = cache_folder()
    assert made.parent == tmp_path and made.stat().st_mode & 0o777 == 0o700 and cache_folder() == made
    made.chmod(0o777)  # as somebody else might have made it, to have us load what lies there
    with pytest.raises(PermissionError, match="LAB_CACHE"):
        cache_folder()


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("setpriv"), reason="needs to become another user")
def test_an_unknown_user_without_home_can_look_around() -> None:
    other = f"setpriv --reuid 54321 --regid 54321 --clear-groups {sys.executable} -c "
    reads = f"'open({json.dumps(__file__)}); from lab.core import trial' 2>/dev/null"
    with tempfile.TemporaryDirectory(dir="/tmp") as name:  # the tests' own folders are their user's only
        (folder := Path(name)).chmod(0o755)
        if shell(other + reads, folder).returncode:
            pytest.skip("that user may not read this Python, or these files")
        done = shell(
            other + "'import sys; sys.argv = [\"lab\", \"list\"]; from lab.cli.app import main; main()'",
            folder, HOME=None, LAB_CACHE=None, XDG_CACHE_HOME=str(folder / "none"),
        )  # fmt: skip
    assert done.returncode == 0 and b"softmax" in done.stdout
