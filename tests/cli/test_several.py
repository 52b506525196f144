"""`lab run A B C` and `lab run --all`: each gets its turn, and one table and the worst exit code end it."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lab.cli.perform import Done
from lab.cli.resume import NothingToResume
from lab.cli.run_options import RunOptions
from lab.cli.screen import Screen, stop
from lab.cli.several import run_several
from lab.core.experiment.request import Request

NOISY = Path(__file__).parents[1] / "known" / "noisy.yaml"
Lab = Callable[..., subprocess.CompletedProcess[str]]
DRY = RunOptions(dry_run=True, json=True)
BUILT_IN = ("softmax", "kd", "grpo", "flash-attn")


def ended(
    codes: Sequence[int | BaseException], options: RunOptions = DRY
) -> tuple[int, list[str], list[Request]]:
    """The exit code of a command whose experiments end so; which were run; with which requests."""
    names, requests = list[str](), list[Request]()

    def run_one(name: str, options: RunOptions, screen: Screen) -> Done:
        names.append(name)
        requests.append(options.request)
        code = codes[len(names) - 1]
        if isinstance(code, BaseException):
            raise code
        return stop("not to be run", 2) if code == 2 else Done(code, {"code": code}, "finished")

    found = run_several(BUILT_IN[: len(codes)], options, Screen(file=io.StringIO()), run_one)
    return found, names, requests


@pytest.mark.parametrize(
    "codes, worst, ran",
    [
        ([0, 0, 0], 0, 3),
        ([0, 1, 0], 1, 3),
        ([1, 3, 0], 3, 3),  # as for one: what --fail-on names comes before a failed trial
        ([3, 2, 1], 2, 3),
        ([0, OSError(28, "No space left on device"), 0], 1, 3),
        ([0, 130, 0], 130, 2),  # Ctrl-C is for all of them
        ([0, KeyboardInterrupt(), 0], 130, 2),
        ([0, NothingToResume("no unfinished run", 2), 0], 0, 3),  # that is what one wants of --all --resume
    ],
)
def test_it_goes_on_after_a_failure_and_ends_with_the_worst(
    codes: list[int | BaseException], worst: int, ran: int, capsys: pytest.CaptureFixture[str]
) -> None:
    code, names, _ = ended(codes)
    assert (code, len(names)) == (worst, ran)
    assert len(json.loads(capsys.readouterr().out)) == ran


def test_repeats_are_for_those_that_time_and_seeds_for_those_that_train() -> None:
    options = RunOptions(Request(repeats=8, seeds=3), dry_run=True)
    _, names, requests = ended([0, 0, 0, 0], options)
    found = {name: (request.repeats, request.seeds) for name, request in zip(names, requests, strict=True)}
    assert found == {"softmax": (8, None), "kd": (None, 3), "grpo": (None, 3), "flash-attn": (8, None)}


@pytest.mark.parametrize(
    "options, said",
    [
        (["softmax", "kd", "-s", "rows=3"], "-s is for one experiment; here are 2"),
        (["softmax", "kd", "--add", "mine=./m.py:f"], "--add is for one experiment"),
        (["softmax", "kd", "--variants", "safe"], "--variants is for one experiment"),
        (["softmax", "kd", "--resume", "djfg"], "--resume ID is for one experiment"),
        (["--all", "softmax"], "--all runs every experiment; here is softmax as well"),
        (["softmax", "kdd", "--quick"], "Did you mean kd?"),  # before the first is run
        ([], "lab run NAME, or lab run --all"),
    ],
)
def test_what_several_cannot_have_is_refused_before_the_first(
    lab: Lab, tmp_path: Path, options: list[str], said: str
) -> None:
    done = lab("run", *options)
    assert done.returncode == 2 and said in done.stderr and not (tmp_path / "results").exists()


def test_all_of_them_are_those_of_lab_list(lab: Lab) -> None:
    listed = json.loads(lab("list", "--json").stdout)
    planned = json.loads(lab("run", "--all", "--quick", "--dry-run", "--json").stdout)
    assert [each["experiment"] for each in planned] == [each["name"] for each in listed]
    assert all(each["trials"] for each in planned)


def test_one_table_and_one_json_document_end_it(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("name: broken\ntrial: ./none.py\n")
    done = lab("run", NOISY, "./broken.yaml", NOISY, "--quick", "--json", COLUMNS="120")
    first, broken, second = json.loads(done.stdout)
    assert done.returncode == 2 and first["status"] == second["status"] == "finished"
    assert first["run"] != second["run"] and broken["status"].startswith("not run: broken.yaml")
    lines = done.stderr.strip().splitlines()[-4:]
    assert lines[0].split() == ["experiment", "run", "took", "verdicts", "state"]
    assert first["run"] in lines[1] and "2 preview" in lines[1] and "finished" in lines[1]
    assert "not run" in lines[2] and second["run"] in lines[3]
