"""Every command that looks at runs: exit codes, one JSON document, other formats, narrow terminals, wrong names."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

KNOWN = Path(__file__).parents[1] / "known" / "known.yaml"
LAB = Path(sys.executable).parent / "lab"


def lab(folder: Path, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [LAB, *arguments], cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=120
    )  # fmt: skip
    assert "Traceback" not in done.stderr + done.stdout
    return done


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with results/: a full run of some known variants, and after it a quick one."""
    folder = tmp_path_factory.mktemp("looking")
    text = (
        KNOWN.read_text()
        .replace("repeats: 6", "repeats: 1")
        .replace("sample_seconds: 0.1", "sample_seconds: 0.05")
    )
    for slow in ("crashing", "hanging", "raising", "undefined"):
        text = text.replace(f"  {slow}: {{}}\n", "")
    file = folder / "few.yaml"
    file.write_text(text)
    shutil.copy(KNOWN.with_name("known_trial.py"), folder)
    for more in ((), ("--quick", "--label", "later")):
        assert lab(folder, "run", "./few.yaml", *more).returncode == 1
    return folder


@pytest.fixture(scope="module")
def letters(place: Path) -> dict[str, str]:
    """The runs' letters by preset."""
    listed = json.loads(lab(place, "runs", "--json").stdout)
    return {run["preset"] or "full": run["id"] for run in listed}


JSON = [
    "runs",
    "list",
    "list no-such-word",
    "claims",
    "claims no-such-word",
    "show softmax",
    "validate softmax",
    "env --no-peaks",
    "run softmax --dry-run",
]


@pytest.mark.parametrize("command", JSON)
def test_with_json_there_is_one_document_and_nothing_else(command: str, place: Path) -> None:
    done = lab(place, *command.split(), "--json")
    assert done.returncode == 0, done.stderr

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    assert json.loads(done.stdout, parse_constant=refuse) is not None


def test_the_schema_of_experiment_files_is_json(place: Path) -> None:
    assert "claims" in json.loads(lab(place, "validate", "--schema").stdout)["properties"]


def test_a_quick_run_never_takes_the_place_of_a_full_one(place: Path, letters: dict[str, str]) -> None:
    assert json.loads(lab(place, "compare", "known", "--json").stdout)["run"] == letters["full"]
    assert json.loads(lab(place, "report", "--json").stdout)["runs"] == [letters["full"]]
    lines = lab(place, "runs").stdout.splitlines()
    assert letters["quick"] in lines[1] and "later (quick)" in lines[1], "the newest stands first"
    assert letters["full"] in lines[2]


def test_the_same_cells_as_markdown_latex_and_csv(place: Path) -> None:
    markdown = lab(place, "compare", "known", "--format", "markdown").stdout
    for block in markdown.strip().split("\n\n")[1::2]:  # below each title
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1, block
    latex = lab(place, "compare", "known", "--format", "latex").stdout
    assert latex.count("\\begin{tabular}") == latex.count("\\end{tabular}") == 2  # size 1, size 2
    assert not re.search(r"(?<!\\)[%_&#]", re.sub(r"^%.*|\{[rl]+\}| & ", "", latex, flags=re.MULTILINE))
    found = list(csv.DictReader(io.StringIO(lab(place, "compare", "known", "--format", "csv").stdout)))
    assert {row["variant"] for row in found} == {"base", "same", "tenth-slower", "wrong", "refusing"}
    assert {row["size"] for row in found} == {"1", "2"}


def test_one_metric_and_one_axis_can_be_asked_for(place: Path) -> None:
    only = lab(place, "compare", "known", "--metric", "error", "--format", "csv").stdout
    assert {row["metric"] for row in csv.DictReader(io.StringIO(only))} == {"error"}
    rows = lab(place, "compare", "known", "--rows", "size", "--metric", "steps", "--format", "csv").stdout
    steps = {(row["variant"], row["size"]): row["estimate"] for row in csv.DictReader(io.StringIO(rows))}
    assert float(steps["base", "1"]) == 7 and float(steps["base", "2"]) == 14


def test_two_runs_stand_side_by_side(place: Path, letters: dict[str, str]) -> None:
    both = (letters["full"], letters["quick"])
    data = json.loads(lab(place, "compare", "known", "--runs", *both, "--json").stdout)
    assert data["runs"] == list(both)
    times = [row for row in data["comparison"] if row["metric"] == "time" and row["variant"] == "base"]
    assert [row["size"] for row in times] == [1], "quick has no size 2"
    shown = lab(place, "compare", "known", "--runs", *both).stdout
    assert all(one in shown for one in both)


def test_versions_are_never_mixed(place: Path, letters: dict[str, str], tmp_path: Path) -> None:
    shutil.copytree(place / "results", tmp_path / "results")
    file = next(tmp_path.glob(f"results/known/*-{letters['quick']}/experiment.yaml"))
    file.write_text(file.read_text() + "version: 2\n")
    done = lab(tmp_path, "compare", "known", "--runs", letters["full"], letters["quick"])
    assert done.returncode == 2 and "version 1" in done.stderr and "version 2" in done.stderr
    assert not done.stdout


WRONG = {
    "run sofmax": "Did you mean softmax?",
    "compare sofmax": "Did you mean softmax?",
    "show sofmax": "Did you mean softmax?",
    "validate sofmax": "Did you mean softmax?",
    "verify sofmax ./mine.py:f": "Did you mean softmax?",
    "report knwn": "Did you mean known?",
    "runn": "run",
    "compare known --metric tme": "Did you mean time?",
    "compare known --rows sze": "Did you mean size?",
    "compare known --format tex": "markdown",
    "compare known --runs zzzz yyyy": "no run zzzz",
    "run softmax --preset quik": "Did you mean quick?",
    "run softmax -s colums=3": "Did you mean columns?",
    "run softmax -s columns=many": "columns",
    "run softmax --variants onlin": "Did you mean online?",
    "run softmax --add mine": "name=./file.py:function",
    "run softmax --add mine=./no.py:f": "no such file: ./no.py",
    "run softmax --add safe=./no.py:f": "a variant safe already",
    "run softmax --seeds 3": "--repeats 3",
    "run softmax --repeats 0": "--repeats",
    "run softmax --device tpu": "auto, cpu or cuda",
    "run softmax --threads 9999": "core",
    "run softmax --resume": "no unfinished run of softmax",
    "run softmax --resume -s rows=1": "only --seeds or --repeats may grow",
    "run ./no.yaml": "no.yaml: no such file",
    "verify softmax ./no.py:f": "no such file: ./no.py",
    "verify known.yaml ./no.py:f": "known.yaml: no such file",
    "new Has-Capitals": "small letters",
    "report softmax": "make one: lab run softmax",
}


@pytest.mark.parametrize("command", WRONG)
def test_wrong_use_ends_with_two_and_says_what_is_right(command: str, place: Path) -> None:
    dry = ("--dry-run",) if command.startswith("run ") else ()  # else torch would be loaded for nothing
    done = lab(place, *command.split(), *dry)
    assert done.returncode == 2, done.stderr
    assert WRONG[command] in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) <= 6


@pytest.mark.parametrize("command", ["", "list", "claims", "runs", "compare known", "--help"])
def test_a_narrow_terminal_breaks_lines_and_nothing_else(command: str, place: Path) -> None:
    done = lab(place, *command.split(), COLUMNS="40")
    assert done.returncode == 0 and done.stdout.strip(), done.stderr


def test_colours_only_where_they_are_wanted(place: Path) -> None:
    assert "\x1b[" in lab(place, "runs", FORCE_COLOR="1").stdout
    for environment in ({"NO_COLOR": "1"}, {}):
        shown = lab(place, "runs", **environment).stdout
        assert "\x1b[" not in shown


def test_a_reader_who_has_seen_enough_gets_no_traceback(place: Path) -> None:
    for command in ("", "list", "runs --json", "compare known"):
        writing = subprocess.Popen(
            [LAB, *command.split()], cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert writing.stdout is not None and writing.stderr is not None
        writing.stdout.close()  # before the first line is written
        said = writing.stderr.read()
        writing.wait(60)
        assert "Traceback" not in said and "BrokenPipe" not in said, (command, said)


def test_the_report_stands_alone(place: Path, letters: dict[str, str]) -> None:
    done = lab(place, "report", "known")
    assert done.returncode == 0 and "report-known.html" in done.stdout
    page = (place / "results" / "report-known.html").read_text()
    assert letters["full"] in page
    fetched = re.findall(r"""(?:src|href|data)\s*=\s*["']?([^"'\s>]+)|url\(([^)]+)\)|@import\s+(\S+)""", page)
    for target in (next(filter(None, groups)).strip("\"'") for groups in fetched):
        assert target.startswith(("#", "data:")), f"{target} is fetched from elsewhere"
    for private in (str(place), str(Path.home()) + "/"):
        assert private not in page
    assert "# " in (place / "results" / "report-known.md").read_text()


def test_where_there_is_no_run_compare_makes_a_quick_one_and_says_so(tmp_path: Path) -> None:
    text = (
        KNOWN.read_text()
        .replace("sample_seconds: 0.1", "sample_seconds: 0.05")
        .replace("timeout: 3", "timeout: 1")
    )
    (tmp_path / "known.yaml").write_text(text)
    shutil.copy(KNOWN.parent / "known_trial.py", tmp_path)
    done = lab(tmp_path, "compare", "./known.yaml")
    assert "no run of known yet, making a quick one" in done.stderr
    assert "base" in done.stdout and "making" not in done.stdout
    assert [run["preset"] for run in json.loads(lab(tmp_path, "runs", "--json").stdout)] == ["quick"]


def test_new_writes_what_validates_and_overwrites_nothing(tmp_path: Path) -> None:
    assert lab(tmp_path, "new", "my-norm").returncode == 0
    assert "fine" in lab(tmp_path, "validate", "my-norm").stdout
    assert "my-norm" in lab(tmp_path, "list").stdout
    planned = json.loads(lab(tmp_path, "run", "my-norm", "--quick", "--dry-run", "--json").stdout)
    assert {trial["kind"] for trial in planned} == {"check", "peaks", "time"}
    before = {path: path.read_bytes() for path in tmp_path.glob("experiments/*")}
    again = lab(tmp_path, "new", "my-norm")
    assert again.returncode == 2 and "there already" in again.stderr
    assert {path: path.read_bytes() for path in tmp_path.glob("experiments/*")} == before
