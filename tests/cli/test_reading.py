"""What is read of runs that are stored: one bad run breaks no other, and every table says the same figures."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lab.cli import app as command_line
from lab.cli.last_screen import print_last_screen
from lab.cli.screen import THEME, Screen
from lab.core.run.folder import runs
from lab.core.run.results import gather

ESC = "\x1b]0;title\x07\x1b[31mred\x9b2J"


@pytest.fixture
def results_folder(stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(stored, tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "results"


def lab(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error: what `lab` prints, in this process."""
    done = CliRunner().invoke(command_line.app, list(arguments))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def change(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def folder_of(results: Path, name: str) -> Path:
    return next((results / name).iterdir())


@pytest.mark.parametrize(
    ("file", "content"),
    [("run.json", '{"status": 1e999}'), ("run.json", "[" * 10**5), ("experiment.yaml", "name: 5"),
     ("environment.json", "5")],
)  # fmt: skip
def test_a_run_that_cannot_be_read_is_named_in_a_line_and_the_others_are_reported(
    file: str, content: str, results_folder: Path
) -> None:
    bad = folder_of(results_folder, "learning")
    (bad / file).write_text(content)
    code, out, err = lab("report", "--json")
    assert code == 0 and json.loads(out)["runs"] == [folder_of(results_folder, "known").name[-4:]]
    assert err.splitlines()[:-1] == [f"results/learning/{bad.name} is passed over: {file} is damaged"]


def test_a_number_that_no_table_holds_is_damage(results_folder: Path) -> None:
    file = folder_of(results_folder, "known") / "experiment.yaml"
    text = file.read_text()
    assert "size:\n  - 1\n  - 2\n" in text
    file.write_text(text.replace("  - 2\n", f"  - 1{'0' * 400}\n"))
    code, _, err = lab("report", "learning", "known")
    assert code == 0 and f"{file.parent.name} is passed over: experiment.yaml is damaged" in " ".join(
        err.split()
    )


@pytest.mark.parametrize("file", ["run.json", "experiment.yaml", "environment.json"])
def test_in_the_place_of_a_run_that_cannot_be_read_the_one_before_is_shown(
    file: str, results_folder: Path
) -> None:
    bad = folder_of(results_folder, "known")
    shutil.copytree(bad, bad.with_name("20200101T000000Z-aaaa"))
    (bad / file).write_text("{")
    code, out, err = lab("compare", "known", "--json")
    assert code == 0 and json.loads(out)["run"] == "aaaa"
    assert err.splitlines() == [f"results/known/{bad.name} is passed over: {file} is damaged"]


def test_two_values_for_one_cell_are_one_and_said(results_folder: Path) -> None:
    trials = folder_of(results_folder, "known") / "trials"
    shutil.copytree(trials / "check.base.size=1", trials / "check.base.size=1.0")
    change(trials / "check.base.size=1.0" / "trial.json", metrics={"steps": 9.0, "error": 0.0})
    (results,) = (gather(run) for run in runs(results_folder, "known"))
    assert any("second trial of base is left out, at size=1" in warning for warning in results.warnings)
    steps = results.comparison.query("metric == 'steps' and variant == 'base' and size == 1")
    assert steps["estimate"].tolist() == [7.0]


def test_twice_as_fast_is_twice_as_fast_in_every_table(results_folder: Path) -> None:
    (run,) = runs(results_folder, "known")
    screen = Screen(file=io.StringIO(), width=120, theme=THEME)
    print_last_screen(gather(run), screen)
    shown = {"last screen": screen.file.getvalue()}  # type: ignore[attr-defined]
    for format in ("table", "markdown", "latex", "csv", "json"):
        shown[format] = lab("compare", "known", "--format", format)[1]
    assert lab("report", "known")[0] == 0
    shown["report.md"] = (results_folder / "report-known.md").read_text()
    html = re.findall(r"<tr>.*?</tr>", (results_folder / "report-known.html").read_text(), re.DOTALL)
    shown["report.html"] = "\n".join(" ".join(re.sub(r"<[^>]*>", " ", row).split()) for row in html)
    for where in ("last screen", "table", "markdown", "latex", "report.md", "report.html"):
        rows = [
            line for line in re.split(r"\n\s*\n|\n(?=\s*\||\s*twice|\s*base)", shown[where]) if "2.0x" in line
        ]
        assert rows and not any("0.5x" in row for row in rows), where
        assert any(re.search(r"\btwice\b", row) for row in rows), where
        assert not re.search(r"^\W*base\b[^\n]*2\.0x", shown[where], re.MULTILINE), where
    for data in (list(csv.DictReader(io.StringIO(shown["csv"]))), json.loads(shown["json"])["comparison"]):
        ratios = [float(row["ratio"]) for row in data if (row["variant"], row["metric"]) == ("twice", "time")]
        assert ratios == pytest.approx([0.5] * 3), "so many times the baseline's time"
    claim = next(c for c in json.loads(shown["json"])["claims"] if c["claim"] == "twice")
    assert claim["interval"]["estimate"] == pytest.approx(2) and claim["word"] == "holds"


def test_a_share_above_all_is_shown_as_a_ceiling_that_is_none(results_folder: Path) -> None:
    """`base` takes 1 ms for a million operations, 1 GFLOP/s; `twice` does 2."""
    folder = folder_of(results_folder, "known")
    file = folder / "experiment.yaml"
    share = "metrics:\n  of_peak:\n    unit: '%'\n    better: higher\n    kind: timed\n"
    claim = (
        "claims:\n- id: near-the-peak\n  says: Twice as much is near the peak.\n  source: ours\n"
        "  measure: {value: of_peak, of: twice, where: {size: 1}}\n  expect: {at_least: 1}\n"
    )
    file.write_text(file.read_text().replace("metrics:\n", share).replace("claims:\n", claim))
    for peak, expected in ((1.0, "wrong ceiling"), (50.0, "3.96")):
        is_wrong = peak == 1.0
        for name in ("peaks", "peaks.1"):
            metrics = {"fma": {"gflops": peak}, "matmul_gflops": 0.5, "copy_gb_per_s": 10.0}
            change(folder / "trials" / name / "trial.json", metrics=metrics)
        shown = {
            how: lab("compare", "known", "--format", how)[1] for how in ("table", "markdown", "csv", "json")
        }
        assert lab("report", "known")[0] == 0
        shown |= {name: (results_folder / f"report-known.{name}").read_text() for name in ("md", "html")}
        shown["comparison.csv"] = (folder / "comparison.csv").read_text()
        for where, text in shown.items():
            assert ("wrong ceiling" in text) == is_wrong, where
            assert not re.search(r"\b19[68](\.\d+)?\b", text), where
        assert all(expected in shown[where] for where in ("table", "markdown", "md", "html"))
        with (folder / "metrics.csv").open() as file:
            shares = {
                row["of_peak"]
                for row in csv.DictReader(file)
                if (row["variant"], row["size"]) == ("twice", "1")
            }
        assert (shares == {""}) == is_wrong, shares
        results = gather(*runs(results_folder, "known"))
        assert (
            any("wrong ceiling" in note and "twice does more" in note for note in results.warnings)
            == is_wrong
        )
        verdict = next(each for each in results.verdicts if each.claim == "near-the-peak")
        assert (verdict.word == "not tested") == is_wrong, verdict


@pytest.mark.parametrize(
    ("peaks", "name", "says"),
    [
        ({"fma": {"gflops": 60.0}}, "FMA peak", ""),
        ({"fma": None, "without_fma": "it needs Numba"}, "best product", "it needs Numba"),
        ({"fma": {"gflops": 10.0}}, "best product", "faster than the FMA peak of 10 GFLOP/s"),
        ({}, "PyTorch's matmul", "an earlier version"),
    ],
)
def test_a_ceiling_is_called_what_it_is(
    peaks: dict[str, Any], name: str, says: str, results_folder: Path
) -> None:
    """Files say "FMA peak"; a run without one has another word in its tables, and a note that says why."""
    folder = folder_of(results_folder, "known")
    file = folder / "experiment.yaml"
    share = (
        "metrics:\n  of_peak:\n    unit: '%'\n    label: of FMA peak\n    better: higher\n    kind: timed\n"
    )
    file.write_text(file.read_text().replace("metrics:\n", share))
    change(
        folder / "trials" / "peaks" / "trial.json",
        metrics=peaks | {"matmul_gflops": 50.0, "copy_gb_per_s": 10.0},
    )
    code, shown, _ = lab("compare", "known", "--format", "markdown")
    assert code == 0 and (f"of {name}" in shown) == (name != "PyTorch's matmul")  # whose file says so itself
    results = gather(*runs(results_folder, "known"))
    notes = [note for note in results.warnings if note.startswith("ceiling")]
    assert len(notes) == bool(says) and all(name in note and says in note for note in notes)
    rate = 60.0 if name == "FMA peak" else 50.0
    of_twice = results.values.query(
        "variant == 'twice' and size == 1 and metric == 'of_peak' and replicate == 0"
    )
    assert list(of_twice["value"]) == pytest.approx([100 * 2 / rate])


def test_nothing_in_a_run_is_obeyed_by_the_terminal(results_folder: Path) -> None:
    folder = folder_of(results_folder, "known")
    change(folder / "run.json", label=ESC, preset=ESC, result=ESC, device=ESC, command=ESC)
    for path in (folder / "trials").glob("check.*/trial.json"):
        if json.loads(path.read_text())["status"] != "ok":
            change(path, reason=ESC)
    text = (folder / "experiment.yaml").read_text()
    (folder / "experiment.yaml").write_text(text.replace("Half the work", json.dumps(ESC)[1:-1]))
    for arguments in (
        ["runs"],
        ["compare", "known"],
        ["compare", "known", "--format", "markdown"],
        ["runs", "--json"],
    ):
        code, out, err = lab(*arguments)
        assert code == 0 and not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", out + err), arguments
        assert "␛]0;title" in out or "\\u001b" in out, "it is shown, not swallowed"


@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="for root no folder is read-only")
def test_a_folder_that_cannot_be_written_is_reported_from_all_the_same(
    results_folder: Path, tmp_path: Path
) -> None:
    for path in [results_folder, *results_folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        code, _, err = lab("report")
        assert code == 1 and "--out" in err and len(err.splitlines()) == 1
        assert lab("report", "--out", str(tmp_path / "mine.html"))[0] == 0
    finally:
        for path in [results_folder, *results_folder.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)


def test_a_report_elsewhere_leaves_the_results_as_they_were(results_folder: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in results_folder.rglob("*") if path.is_file()}
    there = tmp_path / "there"
    there.mkdir()
    code, out, _ = lab("report", "--out", str(there / "mine.html"), "--json")
    written = json.loads(out)
    assert code == 0 and (written["html"], written["markdown"]) == (str(there / "mine.html"), None)
    assert [path.name for path in there.iterdir()] == ["mine.html"], "one file, with all that is in it"
    assert lab("report", "--out", str(there / "mine.md"))[0] == 0
    plots = re.findall(r"!\[.*?\]\((.*?)\)", (there / "mine.md").read_text())
    assert len(plots) == 4 and all((there / plot).with_suffix(".pdf").is_file() for plot in plots)
    assert lab("report", "--out", str(there))[0] == 0
    assert {path.name for path in there.glob("report*")} == {"report.html", "report.md", "report-plots"}
    assert {path: path.read_bytes() for path in results_folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("out", ["page.pdf", "page", "absent/"])
def test_a_report_is_html_or_markdown(out: str, results_folder: Path) -> None:
    code, _, err = lab("report", "--out", out)
    assert code == 2 and ".html or .md" in err and len(err.splitlines()) == 1


def test_a_page_over_a_part_leaves_the_page_over_all(results_folder: Path) -> None:
    assert lab("report")[0] == 0
    over_all = (results_folder / "report.html").read_bytes()
    (run,) = runs(results_folder, "known")
    for arguments, name in (
        (["known"], "report-known"),
        (["learning", "known"], "report-learning-known"),
        (["--run", run.id], f"report-known-{run.id}"),
        (["--run", run.folder.name, "known"], f"report-known-{run.id}"),
    ):
        code, out, _ = lab("report", *arguments, "--json")
        assert code == 0 and json.loads(out)["html"] == str(Path("results") / f"{name}.html")
        assert (results_folder / f"{name}.md").is_file()
    assert (results_folder / "report.html").read_bytes() == over_all


def test_runs_are_reported_by_their_letters(results_folder: Path) -> None:
    (known,), (learning,) = runs(results_folder, "known"), runs(results_folder, "learning")
    again = known.folder.with_name(f"20200101T000000Z-{learning.id}")
    shutil.copytree(known.folder, again)
    code, out, _ = lab("report", "--run", again.name, "--run", known.id, "--json")
    assert code == 0 and json.loads(out)["runs"] == [learning.id, known.id]
    assert f"known, run {known.id}" in Path(json.loads(out)["html"]).read_text()
    code, _, err = lab("report", "--run", learning.id)
    assert code == 2 and again.name in err and learning.folder.name in err
    code, _, err = lab("report", "--run", "zzzz")
    assert code == 2 and err.startswith("no run zzzz in results/")


@pytest.mark.parametrize("name", ["/tmp", "../results", "..", "*", "known/", "[", "\ud800", "."])
def test_what_is_no_name_names_no_run(name: str, results_folder: Path) -> None:
    assert runs(results_folder, name) == []
