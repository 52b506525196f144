"""Files of a run that do not hold what lab wrote: every reader gets sound values, or one word that names the file."""

from __future__ import annotations

import json
import random
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest

from lab.core.report.page import write_report
from lab.core.report.plot import draw
from lab.core.run.files import Damaged
from lab.core.run.folder import newest, runs, unreadable
from lab.core.run.results import gather, write_tables

ODD: list[Any] = [
    None, True, False, 0, -1, 5, 1e308, -1e308, 1e-320, float("inf"), float("nan"), 2**31, 2**63, 10**400, 1.5,
    "", "x", "nan", "-inf", "\x1b[31m", "\ud800", "a\nb", "../..", "*", [], [[]], [None], {}, {"a": {}}, [1, "x"],
]  # fmt: skip


@pytest.fixture
def copied(stored: Path, tmp_path: Path) -> Path:
    shutil.copytree(stored, tmp_path / "results")
    return tmp_path / "results"


def edited(data: Any, dice: random.Random) -> Any:
    """The data with one value anywhere in it replaced, removed, or doubled."""
    if isinstance(data, dict | list) and data and dice.random() < 0.9:
        keys = list(data) if isinstance(data, dict) else list(range(len(data)))
        key = dice.choice(keys)
        made: Any = dict(data) if isinstance(data, dict) else list(data)
        match dice.random():
            case chance if chance < 0.1:
                del made[key]
            case chance if chance < 0.15 and isinstance(made, dict):
                made[f"{key} too"] = made[key]
            case _:
                made[key] = edited(made[key], dice)
        return made
    return dice.choice(ODD)


def edit(path: Path, dice: random.Random) -> None:
    import yaml

    raw = path.read_bytes()
    if dice.random() < 0.15:  # as a disk or a crash would
        at = dice.randrange(len(raw))
        path.write_bytes(
            dice.choice([raw[:at], raw[:at] + dice.randbytes(3) + raw[at + 3 :], b"", b"[" * 10**5])
        )
    elif path.suffix == ".jsonl":
        lines = raw.decode().splitlines()
        at = dice.randrange(len(lines))
        lines[at] = json.dumps(edited(json.loads(lines[at]), dice))
        path.write_text("\n".join(lines))
    elif path.suffix == ".json":
        path.write_text(json.dumps(edited(json.loads(raw), dice)))
    else:
        odd = json.dumps(edited(yaml.safe_load(raw), dice), default=str)  # JSON is YAML
        path.write_text(odd)


def read_all(results: Path, out: Path) -> tuple[Any, ...]:
    """What `lab runs`, `lab compare` and `lab report` do with a results folder; what they found in each run."""
    from lab.cli.run_results import exit_code, page_of, records, summary_data
    from lab.cli.screen import ago, duration

    pages, found = [], []
    for run in runs(results):
        facts = run.facts
        ago(facts["started"]), duration(facts["seconds"])
        newest(results, facts["experiment"], full=True, finished=True)
        try:
            gathered = gather(run)
        except Damaged:
            continue
        found.append(
            repr(
                (
                    summary_data(gathered),
                    records(gathered.control),
                    gathered.experiment,
                    gathered.samples,
                    gathered.drawn,
                )
            )
        )
        if found[-1] in KNOWN:
            continue
        KNOWN.add(found[-1])
        write_tables(gathered)
        exit_code(gathered, frozenset())
        for plot in gathered.experiment.plots:
            draw(plot, gathered.experiment, gathered.comparison, gathered.verdicts, gathered.curves)
        pages.append(page_of(gathered, []))
    if pages:
        write_report(pages, out)
    assert len(runs(results)) + len(unreadable(results)) == 2
    return tuple(found)


KNOWN: set[str] = set()  # what was looked at already: most edits leave one run as it was


def edit_and_read(results: Path, out: Path, seed: int, edits: int) -> None:
    dice = random.Random(seed)
    files = sorted(path for path in results.rglob("*") if path.suffix in (".json", ".jsonl", ".yaml"))
    assert len(files) > 40
    # The few files of which much depends as often as the many trials.
    files += [path for path in files if path.parent.parent.parent == results] * 4
    whole = read_all(results, out)
    assert len(whole) == 2
    different = 0
    for number in range(edits):
        path = dice.choice(files)
        before = path.read_bytes()
        edit(path, dice)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # an infinity times zero, in numpy
                found = read_all(results, out)
        except Exception as error:
            raise AssertionError(f"edit {number}: {path.name} is now {path.read_bytes()[:3000]!r}") from error
        path.write_bytes(before)
        assert len(found) >= 1, "one run is never touched"
        different += found != whole
    assert different > edits / 4, "edits that nobody notices try nothing"
    assert read_all(results, out) == whole


def test_an_edit_of_any_file_leaves_every_reader_standing(copied: Path, tmp_path: Path) -> None:
    edit_and_read(copied, tmp_path, 0, 25)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
def test_many_edits_of_any_file_leave_every_reader_standing(copied: Path, tmp_path: Path, seed: int) -> None:
    edit_and_read(copied, tmp_path, seed, 40)
