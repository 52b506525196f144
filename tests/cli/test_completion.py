"""What the shell offers at Tab, asked as a shell asks."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from forked_lab import LAB

from lab.cli.app import app

from ..conftest import KNOWN

Offered = Callable[[str, str], list[str]]


@pytest.fixture
def offered(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Offered:
    """(shell, line) to the words that are offered at the end of the line: by `lab`'s command, in this process."""

    def at_the_end(shell: str, line: str) -> list[str]:
        for name, value in asked(shell, line).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            app(prog_name="lab")
        printed = capsys.readouterr()
        assert ended.value.code in (0, None) and not printed.err
        return words_in(shell, printed.out)

    monkeypatch.chdir(home)
    return at_the_end


def asked(shell: str, line: str) -> dict[str, str]:
    """The environment in which a shell asks."""
    words = line.split(" ")
    of_bash = {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}
    return {"_LAB_COMPLETE": f"complete_{shell}"} | (
        of_bash if shell == "bash" else {"_TYPER_COMPLETE_ARGS": line}
    )


def words_in(shell: str, printed: str) -> list[str]:
    if shell == "bash":
        return printed.split()
    inside = printed.partition("((")[2].rpartition("))")[0]  # `_files` where there is nothing
    return [word.replace("\\:", ":") for word in shlex.split(inside)]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with an experiment of one's own, whose trial fails when it is imported, and runs of two experiments."""
    (tmp_path / "experiments").mkdir()
    shutil.copy(KNOWN, tmp_path / "experiments")
    lines = ["raise SystemExit('executed')", "class Params:", "    factor: float = 1", "    size: int = 1"]
    (tmp_path / "experiments" / "known_trial.py").write_text("\n".join(lines))
    (tmp_path / "experiments" / "broken.yaml").write_text("name: [")
    for run in (
        "known/20260101T000000Z-aaaa",
        "known/20260102T000000Z-abbb",
        "softmax/20260103T000000Z-cccc",
    ):
        folder = tmp_path / "results" / run
        folder.mkdir(parents=True)
        (folder / "run.json").write_text("{}")
    return tmp_path


LINES = {
    "lab run kno": ["known"],
    "lab show grpo-l": ["grpo-language", "grpo-losses"],
    "lab run known --preset ": ["quick"],
    "lab run known --variants base,w": ["base,wrong"],
    "lab compare known --metric t": ["time", "time_at_peak"],
    "lab compare known --rows ": ["size"],
    "lab compare known --run a": ["abbb", "aaaa"],
    "lab compare softmax --runs ": ["cccc"],
    "lab compare known --format m": ["markdown"],
    "lab runs rm a": ["abbb", "aaaa"],
    "lab runs kno": ["known"],
    "lab run known -s f": ["factor="],
    "lab run known -s wrong.": ["wrong.factor=", "wrong.size="],
    "lab run known -s variants.re": ["variants.refusing."],
    "lab run softmax -s dtype=float3": ["dtype=float32"],
    "lab verify attention-features --pass ": ["fwd", "fwd+bwd"],
    "lab params grpo model": ["model"],
    "lab new mine --from soft": ["softmax", "softmax-alternatives"],
    "lab run broken --preset ": [],
    "lab run nothing -s ": [],
}


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_names_are_offered_and_nothing_is_printed_beside(shell: str, offered: Offered) -> None:
    assert {line: offered(shell, line) for line in LINES} == LINES


def test_runs_are_those_of_the_folder_that_is_named(home: Path, offered: Offered, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.move(home / "results", elsewhere)
    assert offered("bash", f"lab compare known --results {elsewhere} --run ") == ["abbb", "aaaa"]


def test_a_real_bash_offers_them(home: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash here")
    script = """
        eval "$(_LAB_COMPLETE=source_bash lab)"
        COMP_WORDS=(lab run known --preset "") COMP_CWORD=4
        _lab_completion lab
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    path = f"{LAB.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [bash, "-c", script], cwd=home, env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("quick\n", "")


@pytest.mark.parametrize("line", ["lab run grpo -s st", "lab compare softmax --run "])
def test_torch_is_not_loaded_for_it(line: str, home: Path) -> None:
    code = (
        "import sys, atexit\n"
        "heavy = ('torch', 'pandas', 'matplotlib', 'scipy', 'numba', 'numpy')\n"
        "atexit.register(lambda: print('LOADED', [name for name in heavy if name in sys.modules]))\n"
        "sys.argv = ['lab']\n"
        "from lab.cli.app import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=home,
        env=os.environ | asked("zsh", line),
        capture_output=True,
        text=True,
    )
    assert "LOADED []" in done.stdout and not done.stderr, done
    assert "steps=" in done.stdout or "cccc" in done.stdout


def test_the_version_is_that_of_the_distribution() -> None:
    from importlib.metadata import version

    done = subprocess.run([LAB, "--version"], capture_output=True, text=True)
    assert done.stdout == f"lab {version('paperlab')}\n"
