"""Which run `lab run --resume` goes on with, and what it says where there is none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from lab.cli.app import app
from lab.cli.optional_value import WithResume
from lab.cli.resume import run_to_resume
from lab.cli.run_options import RunOptions
from lab.cli.screen import Stopped
from lab.core.experiment.request import Request
from lab.core.run.folder import Run
from lab.core.run.opening import hold, release

ID = "djfg"


@pytest.mark.parametrize(
    "words, names, resume",
    [
        ("softmax", ["softmax"], None),
        ("softmax --resume", ["softmax"], ""),
        ("--resume softmax", ["softmax"], ""),
        (f"softmax --resume {ID}", ["softmax"], ID),
        (f"--resume {ID} softmax", ["softmax"], ID),
        (f"--resume={ID} softmax", ["softmax"], ID),
        (f"--resume {ID}", [], ID),
        ("--resume --json softmax kd", ["softmax", "kd"], ""),
        ("softmax kd --resume", ["softmax", "kd"], ""),
        ("softmax --resume kd --json", ["softmax", "kd"], ""),  # two letters are no run's
        ("--resume ./mine.yaml", ["./mine.yaml"], ""),
        ("softmax --resume 20261130T120746Z-qfvy", ["softmax"], "20261130T120746Z-qfvy"),
        ("--resume -- softmax", ["softmax"], ""),
    ],
)
def test_resume_with_and_without_an_id(words: str, names: list[str], resume: str | None) -> None:
    seen: list[Any] = []
    command = typer.Typer()

    @command.command(cls=WithResume)
    def run(
        names: Annotated[list[str] | None, typer.Argument()] = None,
        resume: Annotated[str | None, typer.Option()] = None,
        json: Annotated[bool, typer.Option("--json")] = False,
    ) -> None:
        seen.extend([names or [], resume, json])

    done = CliRunner().invoke(command, words.split())
    assert done.exit_code == 0, done.output
    assert seen == [names, resume, "--json" in words]


@pytest.fixture
def results(stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs of `known`, the oldest first: aaaa finished; bbbb unfinished; cccc unfinished and quick."""
    shutil.copytree(stored, tmp_path / "results")
    (first,) = (tmp_path / "results" / "known").iterdir()
    for second, letters in enumerate(("aaaa", "bbbb", "cccc")):
        folder = first.with_name(f"20261130T12000{second}Z-{letters}")
        shutil.copytree(first, folder)
        Run(folder).update(id=letters, status="finished" if letters == "aaaa" else "interrupted")
    Run(folder).update(full=False, preset="quick")
    shutil.rmtree(first)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "results"


def chosen(results: Path, resume: str, name: str | None = "known", **request: Any) -> str:
    options = RunOptions(Request(**request), resume=resume, results=results, dry_run=True)
    return run_to_resume(name, options).id


def remark(results: Path, resume: str, name: str | None = "known", **request: Any) -> str:
    with pytest.raises(Stopped) as stopped:
        chosen(results, resume, name, **request)
    assert stopped.value.exit_code == 2
    return stopped.value.message


def test_without_an_id_the_newest_unfinished_full_run(results: Path) -> None:
    assert chosen(results, "") == "bbbb"
    assert chosen(results, "", repeats=12) == "bbbb"
    Run(results / "known" / "20261130T120001Z-bbbb").update(status="finished")
    assert remark(results, "") == (
        f"no unfinished full run of known in {results}/; one that is not full: "
        f"lab run known --resume cccc --results {results}"
    )
    assert chosen(results, "", repeats=12) == "bbbb"  # a finished one grows
    assert chosen(results, "cccc") == "cccc"
    assert "no unfinished run of learning" in remark(results, "", "learning")


def test_letters_name_the_run_with_or_without_its_experiment(results: Path) -> None:
    assert chosen(results, "bbbb") == chosen(results, "bbbb", None) == "bbbb"
    assert chosen(results, "20261130T120001Z-bbbb") == "bbbb"
    assert "no run bbbc of known" in remark(results, "bbbc") and "bbbb?" in remark(results, "bbbc")
    assert remark(results, "bbbb", "learning") == "run bbbb is of known, not of learning"
    finished = remark(results, "aaaa")
    assert "run aaaa is finished" in finished and "--repeats N" in finished and "--retry-failed" in finished
    assert chosen(results, "aaaa", repeats=12) == "aaaa"


def test_a_run_that_is_being_written_is_left_alone(results: Path) -> None:
    run = Run(results / "known" / "20261130T120001Z-bbbb")
    assert hold(run)
    run.update(status="running")
    assert "run bbbb of known is still running" in remark(results, "bbbb")
    assert "run bbbb of known is still running" in remark(results, "")
    release(run)
    assert chosen(results, "") == "bbbb"


def test_more_replicates_say_when_they_are_judged_and_what_that_costs(results: Path) -> None:
    """Its file is elsewhere; the run has all that is needed."""
    for repeats, said in {
        "12": "claims are judged by 99.06% intervals at 12 repeats, 1.43x as wide as 95% ones",
        "9": "verdicts stay as they are at 9 repeats: the next look is at 12",
    }.items():
        done = CliRunner().invoke(
            app, ["run", "known", "--resume", "aaaa", "--repeats", repeats, "--dry-run", "--json"]
        )
        told = " ".join(done.stderr.split())
        assert "going on with run aaaa: full, " in told and "finished, 6 repeats" in told
        assert said in told, told
    fewer = CliRunner().invoke(app, ["run", "known", "--resume", "aaaa", "--repeats", "6", "--dry-run"])
    assert fewer.exit_code == 2 and "--repeats 7 or more" in fewer.stderr


def test_lab_results_is_where_runs_are(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("LAB_RESULTS", str(results))
    runner = CliRunner()
    assert len(json.loads(runner.invoke(app, ["runs", "--json"]).stdout)) == 4
    assert json.loads(runner.invoke(app, ["compare", "known", "--json"]).stdout)["run"] == "aaaa"
    assert (
        "--results" not in runner.invoke(app, ["run", "learning", "--resume"]).stderr
    )  # it is found without
    assert json.loads(runner.invoke(app, ["runs", "--json", "--results", "results"]).stdout) == []
    monkeypatch.setenv("LAB_RESULTS", "")
    assert json.loads(runner.invoke(app, ["runs", "--json"]).stdout) == []
