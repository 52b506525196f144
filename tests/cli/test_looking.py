"""Every command that looks at runs: exit codes, one JSON document, other formats, narrow terminals, wrong names."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import forked_lab
import pytest

KNOWN = Path(__file__).parents[1] / "known" / "known.yaml"
LAB = Path(sys.executable).parent / "lab"


def lab(folder: Path, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    done = forked_lab.lab(folder, *arguments, **environment)
    assert "Traceback" not in done.stderr + done.stdout
    return done


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
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
def run_ids(workspace: Path) -> dict[str, str]:
    """The ids of the runs by preset."""
    listed = json.loads(lab(workspace, "runs", "--json").stdout)
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
def test_with_json_there_is_one_document_and_nothing_else(command: str, workspace: Path) -> None:
    done = lab(workspace, *command.split(), "--json")
    assert done.returncode == 0, done.stderr

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    assert json.loads(done.stdout, parse_constant=refuse) is not None


def test_the_schema_of_experiment_files_is_json(workspace: Path) -> None:
    assert "claims" in json.loads(lab(workspace, "validate", "--schema").stdout)["properties"]


def test_a_quick_run_never_takes_the_place_of_a_full_one(workspace: Path, run_ids: dict[str, str]) -> None:
    assert json.loads(lab(workspace, "compare", "known", "--json").stdout)["run"] == run_ids["full"]
    assert json.loads(lab(workspace, "report", "--json").stdout)["runs"] == [run_ids["full"]]
    lines = lab(workspace, "runs").stdout.splitlines()
    assert run_ids["quick"] in lines[1] and "later (quick)" in lines[1], "the newest stands first"
    assert run_ids["full"] in lines[2]


def test_the_same_cells_as_markdown_latex_and_csv(workspace: Path) -> None:
    markdown = lab(workspace, "compare", "known", "--format", "markdown").stdout
    for block in markdown.strip().split("\n\n")[1::2]:  # below each title
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1, block
    latex = lab(workspace, "compare", "known", "--format", "latex").stdout
    assert latex.count("\\begin{tabular}") == latex.count("\\end{tabular}") == 2  # size 1, size 2
    assert not re.search(r"(?<!\\)[%_&#]", re.sub(r"^%.*|\{[rl]+\}| & ", "", latex, flags=re.MULTILINE))
    found = list(csv.DictReader(io.StringIO(lab(workspace, "compare", "known", "--format", "csv").stdout)))
    assert {row["variant"] for row in found} == {"base", "same", "tenth-slower", "wrong", "refusing"}
    assert {row["size"] for row in found} == {"1", "2"}


def test_one_metric_and_one_axis_can_be_asked_for(workspace: Path) -> None:
    only = lab(workspace, "compare", "known", "--metric", "error", "--format", "csv").stdout
    assert {row["metric"] for row in csv.DictReader(io.StringIO(only))} == {"error"}
    rows = lab(workspace, "compare", "known", "--rows", "size", "--metric", "steps", "--format", "csv").stdout
    steps = {(row["variant"], row["size"]): row["estimate"] for row in csv.DictReader(io.StringIO(rows))}
    assert float(steps["base", "1"]) == 7 and float(steps["base", "2"]) == 14


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
    "compare known --at sze=1": "Did you mean size?",
    "compare known --at size=3": "size=1, 2",
    "compare known --variants bse": "Did you mean base?",
    "compare known --run zzzz": "no run zzzz",
    "explain known": "which claim of known?",
    "explain known/twce": "no claim twce",
    "explain sofmax/x": "Did you mean softmax?",
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
    "run softmax --threads 1,two": "1,2",
    "run softmax --threads 0": "from 1 on",
    "run kd --threads 1,1": "kd has no parameter threads; one number",
    "run softmax --resume": "no unfinished run of softmax",
    "run softmax --resume -s rows=1": "only --seeds or --repeats may grow",
    "run ./no.yaml": "no.yaml: no such file",
    "verify softmax ./no.py:f": "no such file: ./no.py",
    "verify known.yaml ./no.py:f": "known.yaml: no such file",
    "new Has-Capitals": "small letters",
    "report softmax": "make one: lab run softmax",
}


@pytest.mark.parametrize("command", WRONG)
def test_wrong_use_ends_with_two_and_says_what_is_right(command: str, workspace: Path) -> None:
    dry = ("--dry-run",) if command.startswith("run ") else ()  # else torch would be loaded for nothing
    done = lab(workspace, *command.split(), *dry)
    assert done.returncode == 2, done.stderr
    assert WRONG[command] in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) <= 6


@pytest.mark.parametrize("command", ["", "list", "claims", "runs", "compare known", "--help"])
def test_a_narrow_terminal_breaks_lines_and_nothing_else(command: str, workspace: Path) -> None:
    done = lab(workspace, *command.split(), COLUMNS="40")
    assert done.returncode == 0 and done.stdout.strip(), done.stderr


def test_colours_only_where_they_are_wanted(workspace: Path) -> None:
    assert "\x1b[" in lab(workspace, "runs", FORCE_COLOR="1").stdout
    for environment in ({"NO_COLOR": "1"}, {}):
        shown = lab(workspace, "runs", **environment).stdout
        assert "\x1b[" not in shown


def test_a_reader_who_has_seen_enough_gets_no_traceback(workspace: Path) -> None:
    for command in ("", "list", "runs --json", "compare known"):
        writing = subprocess.Popen(
            [LAB, *command.split()], cwd=workspace, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert writing.stdout is not None and writing.stderr is not None
        writing.stdout.close()  # before the first line is written
        said = writing.stderr.read()
        writing.wait(60)
        assert "Traceback" not in said and "BrokenPipe" not in said, (command, said)


def test_the_report_stands_alone(workspace: Path, run_ids: dict[str, str]) -> None:
    done = lab(workspace, "report", "known")
    assert done.returncode == 0 and "report-known.html" in done.stdout
    page = (workspace / "results" / "report-known.html").read_text()
    assert run_ids["full"] in page
    fetched = re.findall(r"""(?:src|href|data)\s*=\s*["']?([^"'\s>]+)|url\(([^)]+)\)|@import\s+(\S+)""", page)
    for target in (next(filter(None, groups)).strip("\"'") for groups in fetched):
        assert target.startswith(("#", "data:")), f"{target} is fetched from elsewhere"
    for private in (str(workspace), str(Path.home()) + "/"):
        assert private not in page
    assert "# " in (workspace / "results" / "report-known.md").read_text()


@pytest.mark.parametrize("command", ["compare known.yaml", "explain known.yaml/faster", "compare softmax"])
def test_reading_makes_no_run_but_names_the_command_that_does(command: str, tmp_path: Path) -> None:
    shutil.copy(KNOWN, tmp_path)
    shutil.copy(KNOWN.parent / "known_trial.py", tmp_path)
    name = command.split()[1].partition("/")[0]
    done = lab(tmp_path, *command.replace("known.yaml", "./known.yaml").split())
    assert done.returncode == 2 and not done.stdout and len(done.stderr.splitlines()) == 1
    assert f"lab run {name.replace('known', './known')} --quick" in done.stderr
    assert not (tmp_path / "results").exists()


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
