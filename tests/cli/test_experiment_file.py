"""Files in ./experiments: what cannot be listed is named and passed over, what hides a built-in one is said."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from lab.cli.app import app
from lab.core.experiment.discovery import BUILT_IN, experiment_files
from lab.core.experiment.mistakes import Mistakes

KNOWN = Path(__file__).parents[1] / "known"

ODD = {
    "number": ("name: 5\n", "number.yaml:1:1: name: must be small letters"),
    "absolute": ("name: /abs\n", "absolute.yaml:1:1: name: must be small letters"),
    "above": ("name: ../x\n", "above.yaml:1:1: name: must be small letters"),
    "title": ("title: {a: 1}\n", "title.yaml:1:1: title: must be a text"),
    "question": ("question: [a]\n", "question.yaml:1:1: question: must be a text"),
    "claims": ("name: a\nclaims: 5\n", "claims.yaml:2:1: claims: must be a list"),
    "claim": ("claims: [5]\n", "claim.yaml:1:10: a claim: must be a mapping with says and source"),
    "says": ("claims: [{says: 3, source: ours}]\n", "says.yaml:1:10: a claim: must be a mapping with says and source"),
    "sources": ("sources: [a]\n", "sources.yaml:1:1: sources: must be a mapping"),
    "source": ("sources: {a: b}\n", "source.yaml:1:11: a: must be a mapping with title and ref"),
    "deep": ("a: " + "[" * 40_000, "deep.yaml:1:43: is nested too deeply"),
    "escape": ('name: "\\e[31m"\n', "escape.yaml:1:7: holds a control character"),
    "merge": ("<<: {name: a}\n", "merge.yaml:1:1: merge keys (<<) are not read"),
    "empty": ("", "empty.yaml:1:1: is empty"),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").mkdir()
    return tmp_path / "experiments"


def lab(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize(
    "command", [[], ["list"], ["claims"], ["list", "milakov"], ["list", "--json"]], ids=str
)
def test_one_odd_file_never_hides_the_others(command: list[str], folder: Path) -> None:
    for name, (text, _) in ODD.items():
        (folder / f"{name}.yaml").write_text(text)
    os.mkfifo(folder / "pipe.yaml")
    (folder / "loop.yaml").symlink_to("loop.yaml")
    done = lab(*command)
    assert done.exit_code == 0, done.exception
    assert "softmax" in done.stdout
    lines = done.stderr.splitlines()
    for message in [message for _, message in ODD.values()] + [
        "pipe.yaml: cannot be read",
        "loop.yaml: cannot be read",
    ]:
        assert sum(message in line for line in lines) == 1, message


def test_an_experiment_of_ones_own_that_hides_a_built_in_one_is_said_in_a_line(folder: Path) -> None:
    shutil.copy(BUILT_IN / "softmax.yaml", folder)
    line = "softmax is experiments/softmax.yaml here, not the experiment of that name that comes with lab"
    for command in (
        ["list"],
        ["show", "softmax"],
        ["validate", "softmax"],
        ["run", "softmax", "--dry-run", "--json"],
    ):
        done = lab(*command)
        assert done.exit_code == 0, (command, done.stderr)
        assert done.stderr.splitlines().count(line) == 1, command
    for command in (["show", "kd-loss-bias"], ["show", "./experiments/softmax.yaml"]):
        assert line not in lab(*command).stderr


def test_a_checkout_hides_nothing_of_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BUILT_IN.parent)
    assert lab("list").stderr == "" and experiment_files()["softmax"].parent == BUILT_IN


def test_a_printed_command_can_be_typed(folder: Path) -> None:
    file = folder / "two words.yaml"
    file.write_text((KNOWN / "known.yaml").read_text())
    shutil.copy(KNOWN / "known_trial.py", folder)
    said = " ".join(
        lab("show", "experiments/two words.yaml").stdout.split()
    )  # at 80 columns it goes on in a second line
    assert "lab run 'experiments/two words.yaml' --quick" in said


@pytest.mark.parametrize("command", ["show", "validate", "verify", "compare", "run"])
def test_a_name_of_the_wrong_shape_is_a_mistake_of_the_file(command: str, folder: Path) -> None:
    (folder / "odd.yaml").write_text("name: /abs\ntrial: 5\npresets: 5\nseeds: 3\n")
    more = {"verify": ["./x.py:f"], "run": ["--resume"]}.get(command, [])
    done = lab(command, "odd", *more)
    assert "name: string should match pattern" in str(done.exception), done.stderr


def test_help_says_which_commands_execute_a_file() -> None:
    said = " ".join(lab("--help").stdout.split())
    assert "execute the Python file that an experiment names in its trial: line" in said
    assert "executes" in lab("validate", "--help").stdout


def test_verify_of_what_trains_is_refused_in_the_words_of_the_command() -> None:
    done = lab("verify", "kd", "./mine.py:f")
    assert done.exit_code == 2 and done.stderr.startswith("kd trains; ")


@pytest.mark.parametrize(
    ("was", "written", "line"),
    [
        (
            "sft-demos, only: {long: 0.25}",
            "sft-demos, only: {long: 0.3}",
            "long is never 0.3. Did you mean 0.8?",
        ),
        ("sft-demos, only: {long: 0.25}", "sft-demos, only: {lng: 0.25}", "no axis lng. Did you mean long?"),
        ("method: rl}", "method: rl, only: {long: 0.25}}", "the baseline is trained everywhere"),
        (
            "of: sft-traces, over: sft-own, where: {long: 0.25}",
            "of: sft-traces, over: sft-own, where: {long: 0.1}",
            "sft-own is trained at long 0.25 only",
        ),
    ],
)
def test_a_variant_of_some_values_only_is_checked(folder: Path, was: str, written: str, line: str) -> None:
    text = (BUILT_IN / "r1-distill.yaml").read_text().replace("name: r1-distill", "name: mine")
    assert text.count(was) == 1
    (folder / "mine.yaml").write_text(text.replace(was, written))
    done = lab("validate", "mine")
    assert isinstance(done.exception, Mistakes) and line in str(done.exception)
