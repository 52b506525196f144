"""What fits on one screen, in which order, and that each command on it opens the run that it speaks of."""

from __future__ import annotations

import io
import itertools
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

from lab.cli import app as command_line
from lab.cli.claim_lines import cut, in_order
from lab.cli.last_screen import print_last_screen, print_one_screen
from lab.cli.screen import THEME, Screen
from lab.core.analysis.comparison import compare
from lab.core.analysis.conditions import Conditions
from lab.core.analysis.control import control
from lab.core.analysis.gaps import with_gaps
from lab.core.analysis.judge import judge
from lab.core.analysis.summary import fill
from lab.core.experiment.discovery import BUILT_IN
from lab.core.experiment.document import Document, read
from lab.core.experiment.own_variants import own_variants
from lab.core.experiment.schema import Experiment
from lab.core.experiment.shape import shaped
from lab.core.run import folder as folders
from lab.core.run.folder import Run, runs
from lab.core.run.results import Results, gather

FACTS = {
    "version": 1, "started": "2026-01-02T03:04:05Z", "seconds": 61.0, "status": "finished", "full": True, "preset": None,
    "label": "", "device": "cpu", "threads": 1, "files": {},
}  # fmt: skip


def lab(*arguments: str, **environment: str) -> tuple[int, str, str]:
    done = CliRunner(env=environment).invoke(command_line.app, list(arguments))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def made_up(experiment: Experiment, own: list[str]) -> Results:
    """A finished run of any experiment, in ./results: figures of all sizes, so that claims come out every way."""
    rng = np.random.default_rng(len(experiment.variants))
    keys = experiment.point_keys
    axes = [experiment.axes.get(key) or [experiment.params[key]] for key in keys]
    rows = []
    for variant, point in itertools.product(experiment.variants, itertools.product(*axes)):
        for name, metric in experiment.metrics.items():
            if metric.gap is not None:
                continue
            share = metric.range is not None or metric.out_of is not None
            level = rng.uniform() if share else 10 ** rng.uniform(-2, 4)
            count = 1 if metric.kind == "counted" else experiment.replicates
            for at, noise in enumerate(rng.lognormal(0, 0.1, count)):
                rows.append((variant, *point, name, at, min(level * noise, 1.0) if share else level * noise))
    values = pd.DataFrame(rows, columns=["variant", *keys, "metric", "replicate", "value"])
    status = pd.DataFrame(columns=["variant", *keys, "status", "reason", "kernel"])
    values = with_gaps(experiment, values)
    run = Run(Path("results") / experiment.name / "20260102T030405Z-abcd")
    run.folder.mkdir(parents=True)
    facts = FACTS | {"experiment": experiment.name, "own": own}
    run.update(**facts)
    return Results(
        experiment=experiment, run=run, facts=facts, environment={}, values=values, status=status,
        curves=pd.DataFrame(), samples={}, drawn={}, comparison=compare(experiment, values, status),
        control=control(experiment, values), verdicts=judge(experiment, values, environment={"device": "cpu"}),
        conditions=Conditions(experiment.replicates, experiment.replicates), summary=fill(experiment, values), warnings=["the machine was busy with something else"],
    )  # fmt: skip


def shown(results: Results, one: bool = True) -> list[str]:
    screen = Screen(file=io.StringIO(), width=80, theme=THEME)
    (print_one_screen if one else print_last_screen)(results, screen)
    return screen.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("path", sorted(BUILT_IN.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_experiment_fits_on_a_screen_with_the_users_own_beside_the_baseline(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    experiment = shaped(read(path))
    own = [name for name in experiment.variants if name != experiment.baseline][-1:]
    results = made_up(experiment, own)
    for lines in (shown(results), shown(results, one=False)):
        assert len(lines) <= 24
        assert all(cell_len(line) <= 80 for line in lines if "lab " not in line)
        rows = [
            line.split()[0] for line in reversed(lines) if line.strip()
        ]  # the table's, not the sentences'
        assert not own or rows.index(own[0]) == rows.index(experiment.baseline) - 1
        assert "n/a" not in "\n".join(lines)
        first = [verdict.claim for verdict in in_order(results.verdicts)][:2]
        places = ["\n".join(lines).find(f"  {claim} ") for claim in first]
        assert -1 not in places and places == sorted(places), first


def test_claims_that_fail_stand_first_and_what_cannot_be_tested_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    experiment = shaped(read(BUILT_IN / "kd.yaml"))
    kept = {name: experiment.variants[name] for name in ("data", "soft", "top-k")}
    results = made_up(experiment.model_copy(update={"variants": kept}), [])
    results.facts["full"] = False  # type: ignore[index]
    text = "\n".join(shown(results))
    order = [text.find(word) for word in ("fails here", "unclear", "holds") if f" {word}" in text]
    assert order == sorted(order)
    untested = [line for line in text.splitlines() if " need " in line]
    assert len(untested) == 1 and untested[0].endswith("…: the full run: lab run kd")


@pytest.fixture
def place(stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results of a run of `known`, and of a newer one that the bare command opens."""
    shutil.copytree(stored, tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    old = next((tmp_path / "results" / "known").iterdir())
    shutil.copytree(old, old.with_name("20990101T000000Z-newr"))
    return Path("results")


@pytest.mark.parametrize("letters", ["old", "newr"])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_each_command_on_a_screen_opens_the_run_that_it_speaks_of(
    letters: str, elsewhere: bool, place: Path
) -> None:
    if elsewhere:
        place = place.rename("other")
    found = [run for run in runs(place, "known") if (run.id == "newr") == (letters == "newr")]
    results = gather(found[0])
    commands: set[str] = set()
    for one in (True, False):
        for line in shown(results, one):
            commands |= {part.strip() for part in re.findall(r"lab (?:compare|explain) [^·;]*", line)}
    assert {shlex.split(command)[1] for command in commands} >= {"compare"}
    for command in commands:
        code, out, err = lab(*shlex.split(command)[1:])
        assert code == 0 and f"run {found[0].id}" in out, (command, err)
        assert ("--run" in command) == (letters == "old"), command


def test_a_variant_of_the_users_that_came_to_nothing_is_in_the_table(place: Path) -> None:
    run = next(iter(runs(place, "known")))
    run.update(own=["wrong", "refusing"])
    rows = [line.split() for line in shown(gather(run)) if line.strip()]
    at = next(index for index, row in enumerate(rows) if row[0] == "base")
    assert [row[:2] for row in rows[at + 1 : at + 3]] == [["wrong", "wrong"], ["refusing", "refused"]]


def test_own_variants_are_those_that_no_built_in_file_of_the_subject_has() -> None:
    document = read(BUILT_IN / "kd.yaml")
    experiment = shaped(document)
    assert own_variants(experiment, document) == []
    mine = {"mine": experiment.variants["soft"]}
    added = experiment.model_copy(update={"variants": {**experiment.variants, **mine}})
    assert own_variants(added, document) == ["mine"], "by --add or -s"
    data = {**document.data, "name": "my-kd", "variants": {**document.data["variants"], "mine": {}}}
    copy = Document(**{**vars(document), "data": data})
    assert own_variants(shaped(copy), copy) == ["mine"], "in a copy of the file"


def test_one_verdict_is_explained_with_every_replicate(place: Path) -> None:
    code, out, _ = lab("explain", "known/twice")
    assert code == 0
    said = " ".join(out.split())
    for words in ("Half the work takes half the time.", "These very files, by construction, https://example.org/a|b",
                  "between 1.9 and 2.1: a bound of ours", "at 96.9% over 6 repeats", "base / twice"):  # fmt: skip
        assert words in said, words
    assert len(re.findall(r"^ +\d .* 2\.0x$", out, re.MULTILINE)) == 6
    data = json.loads(lab("explain", "known/twice", "--json")[1])
    assert data["word"] == "holds" and data["settle"] is None and data["run"] == "newr"
    assert [row["result"] for row in data["figures"]] == pytest.approx([2.0] * 6)
    assert [row["replicate"] for row in data["figures"]] == list(range(6))
    steps = json.loads(lab("explain", "known/linear", "--json")[1])["figures"]
    assert steps == [{"replicate": 0, "figures": {"size 1": 7.0, "size 2": 14.0, "size 4": 28.0}}]
    code, out, _ = lab("explain", "known/of-wrong")
    assert code == 0 and "wrong is wrong at size=1: wrong by construction" in " ".join(out.split())


def test_a_part_of_a_comparison_is_asked_for(place: Path) -> None:
    code, out, _ = lab("compare", "known", "--at", "size=2", "--variants", "twice,base")
    assert code == 0 and "size=2" in out and "size=4" not in out
    table = out[out.index("size=2") : out.index("speed:")]
    assert {line.split()[0] for line in table.splitlines()[2:] if line.strip()} == {"base", "twice"}
    assert "Half the work takes half the time." in lab("compare", "known", "--claims", COLUMNS="80")[1]
    whole = lab("compare", "known", "--all")[1]
    assert all(words in whole for words in ("size=1", "size=2", "size=4", "A/A control", "twice takes"))


def test_a_metric_is_called_by_its_heading_unless_two_share_it(place: Path) -> None:
    file = next(place.glob("known/*-newr/experiment.yaml"))
    text = file.read_text()
    file.write_text(text.replace("  steps:\n", "  steps:\n    label: work\n"))
    assert "work" in lab("compare", "known", "--metric", "Work")[1]
    file.write_text(
        text.replace("  steps:\n", "  steps:\n    label: work\n").replace(
            "  error:\n", "  error:\n    label: work\n"
        )
    )
    code, _, err = lab("compare", "known", "--metric", "work")
    assert code == 2 and "steps" in err and "error" in err


def test_claims_take_a_line_each_at_80_columns() -> None:
    code, out, _ = lab("claims", COLUMNS="80")
    lines = out.splitlines()
    assert code == 0 and max(map(cell_len, lines)) <= 80
    files = list(BUILT_IN.glob("*.yaml"))
    claims = [claim for path in files for claim in read(path).data["claims"]]
    assert len(claims) < len(lines) <= len(claims) + 3 * len(files) + 3
    assert all(claim["says"][:20] in out for claim in claims)
    wide = lab("claims", "--wide", COLUMNS="80")[1]
    assert all(claim["says"] in wide and claim["id"] in wide for claim in claims)


@pytest.mark.parametrize("columns", [-1, 0, 1, 2, 5])
def test_what_is_cut_has_so_many_columns(columns: int) -> None:
    for text in ("", "a", "abcdef", "一二三四"):
        assert cell_len(cut(text, columns)) <= max(columns, cell_len(text) if len(text) <= columns else 0, 0)


def test_a_list_of_many_runs_reads_each_once_and_the_overview_few(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = next(place.glob("known/*-newr"))
    for at in range(60):
        made = old.with_name(f"20260101T0000{at:02}Z-m{chr(97 + at // 10)}{chr(97 + at % 10)}z")
        made.mkdir()
        shutil.copy(old / "run.json", made)
    reads: list[Path] = []
    monkeypatch.setattr(
        folders, "read_json", lambda path, read=folders.read_json: reads.append(path) or read(path)
    )
    folders._run_json.cache_clear()
    code, out, err = lab("runs")
    assert code == 0 and "older: lab runs --all" in err and len(out.splitlines()) == 51
    assert len(reads) == len(set(reads)) == len(runs(place))
    assert len(lab("runs", "--all")[1].splitlines()) == len(runs(place)) + 1
    reads.clear()
    folders._run_json.cache_clear()
    assert lab()[0] == 0
    assert len(reads) < 30, "the newest of each experiment, and the runs that may know the machine's peak"


def test_before_its_first_run_an_experiment_says_what_it_may_take(place: Path) -> None:
    from lab.core.run.estimate import seconds_by_file

    assert seconds_by_file({"takes": 100, "repeats": 6}, peak=46.5, cores=8) == pytest.approx(200)
    assert seconds_by_file({"takes": 100, "seeds": 6}, peak=93.0, cores=8) == pytest.approx(25)
    assert seconds_by_file({"takes": "long"}, None, 2) is None is seconds_by_file({}, None, 2)
    assert "~" in lab("list", "softmax")[1]


def test_a_gap_below_nothing_and_a_figure_that_is_not_there_are_words() -> None:
    experiment = shaped(read(BUILT_IN / "kd.yaml"))
    rows: list[tuple[Any, ...]] = []
    for variant, level in (("data", 0.15), ("soft", 0.10), ("top-k", 0.9), ("sampled-16", np.nan)):
        rows += [(variant, "kl_bits", seed, level * (1 + 0.01 * seed)) for seed in range(6)]
    values = pd.DataFrame(rows, columns=["variant", "metric", "replicate", "value"])
    values = with_gaps(experiment, values)
    from lab.core.report.table import tables

    (table,) = tables(experiment, compare(experiment, values))
    at = [column.name for column in table.metrics].index("gap")
    cells = {row.name: row.cells[at].text for tier in table.tiers for row in tier.rows}
    assert cells["top-k"] == "worse than no teacher" and cells["soft"] == "100 %"
    said = fill(
        experiment.model_copy(update={"summary": "Soft: {kl_bits: soft}. Drawn: {kl_bits: sampled-16}."}),
        values,
    )
    assert said.startswith("Soft: 0.1") and "Drawn" not in said and "n/a" not in said
    said = fill(experiment.model_copy(update={"summary": "The likeliest recover {gap: top-k}."}), values)
    assert said == "The likeliest recover none (worse than no teacher)."


def test_beside_what_a_figure_stands_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    language = "\n".join(shown(made_up(shaped(read(BUILT_IN / "grpo-language.yaml")), [])))
    assert "vs without" in language and "change" not in language
    several = "\n".join(shown(made_up(shaped(read(BUILT_IN / "grpo.yaml")), [])))
    assert "difference" in several and "beside" in several and "thinks" in several
