"""`lab compare NAME --runs A B`: what changed, what cannot be compared, and the exit code for CI."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import forked_lab
import pytest

KNOWN = Path(__file__).parents[1] / "known" / "known.yaml"


def lab(folder: Path, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    done = forked_lab.lab(folder, *arguments, **environment)
    assert "Traceback" not in done.stderr + done.stdout
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with six repeats; `slow` is the same run with the times of `same` ten times as long."""
    folder = tmp_path_factory.mktemp("two-runs")
    text = KNOWN.read_text().replace("sample_seconds: 0.1", "sample_seconds: 0.02")
    (folder / "known.yaml").write_text(text)
    shutil.copy(KNOWN.with_name("known_trial.py"), folder)
    done = lab(
        folder,
        "run",
        "./known.yaml",
        "--variants",
        "base,same",
        "--quick",
        "--repeats",
        "6",
        "--label",
        "first",
    )
    assert done.returncode == 0, done.stderr
    run = next((folder / "results" / "known").iterdir())
    rename(run, run.with_name("20250101T000000Z-aaaa"))
    slow = copy(run.with_name("20250101T000000Z-aaaa"), "20250102T000000Z-slow")
    for file in slow.glob("trials/time*/trial.json"):
        trial = json.loads(file.read_text())
        trial["samples"]["same"] = [10 * seconds for seconds in trial["samples"]["same"]]
        file.write_text(json.dumps(trial))
    return folder


def rename(run: Path, to: Path) -> None:
    run.rename(to)
    facts = json.loads((to / "run.json").read_text()) | {"id": to.name[-4:]}
    (to / "run.json").write_text(json.dumps(facts))


def copy(run: Path, name: str) -> Path:
    shutil.copytree(run, run.with_name("copy"))
    rename(run.with_name("copy"), run.with_name(name))
    return run.with_name(name)


def test_what_got_slower_leads_and_the_exit_code_says_so(folder: Path) -> None:
    done = lab(folder, "compare", "known", "--runs", "aaaa", "slow", "--fail-if-worse", "5%")
    assert done.returncode == 3
    assert "same" in done.stdout and "worse" in done.stdout
    assert "1 of" in done.stdout and "holds → " not in done.stdout
    back = lab(folder, "compare", "known", "--runs", "slow", "aaaa", "--fail-if-worse", "5%")
    assert back.returncode == 0 and "better" in back.stdout
    assert lab(folder, "compare", "known", "--runs", "aaaa", "slow", "--fail-if-worse", "95%").returncode == 0


def test_json_holds_figures_differences_and_verdicts(folder: Path) -> None:
    file = copy(folder / "results/known/20250102T000000Z-slow", "20250103T000000Z-othr") / "environment.json"
    environment = json.loads(file.read_text())
    environment["packages"]["torch"] = "3.0"
    file.write_text(json.dumps(environment))
    data = json.loads(lab(folder, "compare", "known", "--runs", "aaaa", "othr", "--json").stdout)
    assert data["runs"] == ["aaaa", "othr"]
    assert [each["what"] for each in data["differences"]] == ["torch"]
    (time,) = (row for row in data["comparison"] if row["metric"] == "time")
    assert (
        time["variant"] == "same" and time["change"] == pytest.approx(0.1) and time["difference"] == "worse"
    )


def test_every_line_fits_80_columns(folder: Path) -> None:
    shown = lab(folder, "compare", "known", "--runs", "aaaa", "slow", "--all", COLUMNS="80").stdout
    assert shown and max(map(len, shown.splitlines())) <= 80


def test_versions_and_baselines_are_never_mixed(folder: Path) -> None:
    original = folder / "results/known/20250101T000000Z-aaaa"
    for name, text in (
        ("20250104T000000Z-vers", "\nversion: 2\n"),
        ("20250105T000000Z-base", "\nbaseline: same\n"),
    ):
        file = copy(original, name) / "experiment.yaml"
        lines = [
            line
            for line in file.read_text().splitlines()
            if not line.startswith(text.split(":")[0].strip() + ":")
        ]
        file.write_text("\n".join(lines) + text)
    done = lab(folder, "compare", "known", "--runs", "aaaa", "vers")
    assert (
        done.returncode == 2 and "version 1" in done.stderr and "version 2" in done.stderr and not done.stdout
    )
    done = lab(folder, "compare", "known", "--runs", "aaaa", "base")
    assert (
        done.returncode == 2 and "baseline is base" in done.stderr.replace("of all", "") and not done.stdout
    )


@pytest.mark.parametrize(
    "arguments, says",
    [
        ("--runs aaaa aaaa", "one run, twice"),
        ("--runs aaaa zzzz", "no run zzzz"),
        ("--runs aaaa slow --metric tme", "Did you mean time?"),
        ("--runs aaaa slow --variants same", "--variants is for one run"),
        ("--runs aaaa slow --at size=1", "--at is for one run"),
        ("--runs aaaa slow --fail-if-worse much", "such as 5%"),
        ("--fail-if-worse 5%", "--runs BEFORE AFTER"),
    ],
)
def test_wrong_use_gets_one_line(folder: Path, arguments: str, says: str) -> None:
    done = lab(folder, "compare", "known", *arguments.split())
    assert (
        done.returncode == 2
        and says in done.stderr
        and len(done.stderr.splitlines()) == 1
        and not done.stdout
    )
