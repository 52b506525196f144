"""From the records in a run's folder to its verdicts: known times in trial.json, read back as `lab compare` does."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.core.experiment.document import read
from lab.core.experiment.load import Loaded, load_document
from lab.core.experiment.request import Request
from lab.core.experiment.schema import AGAIN
from lab.core.run.folder import Run
from lab.core.run.opening import create, planned_replicates, reopen
from lab.core.run.plan import Trial, plan
from lab.core.run.process import finish
from lab.core.run.results import Results, gather

KNOWN = Path(__file__).parents[2] / "known" / "known.yaml"
TRUE = {"base": 1.0, "same": 1.0, "tenth-slower": 1.1, "base" + AGAIN: 1.0}
FACTS = {"full": True, "preset": None, "label": "", "device": "cpu", "threads": 1}


def loaded(repeats: int, file: Path = KNOWN) -> Loaded:
    return load_document(read(file), Request(variants=("same", "tenth-slower"), repeats=repeats))


def made(results: Path, repeats: int) -> Run:
    """A run of the known variants with all trials done, whose times are known."""
    run = create(results, loaded(repeats), FACTS, {"device": "cpu", "threads": 1})
    for trial in plan(loaded(repeats)):
        end(run, trial)
    run.update(status="finished")
    return run


def continued(run: Run, repeats: int) -> Run:
    """`lab run known --resume --repeats N`, as far as the folder sees it."""
    loaded = load_document(read(run.folder / "experiment.yaml"), Request(repeats=repeats), is_resolved=True)
    reopen(run, loaded)
    for trial in plan(loaded):
        if run.result(trial) is None:
            end(run, trial)
    run.update(status="finished")
    return run


def end(run: Run, trial: Trial, true: Mapping[str, float] = TRUE, **more: Any) -> None:
    draw = random.Random(trial.key)
    unit = draw.lognormvariate(0, 0.3)
    ending: dict[str, Any] = {"status": "ok", "reason": "", "seconds": 0.1, "metrics": {}}
    if trial.kind == "check":
        ending["metrics"] = {"error": 0.0, "steps": 7.0 * trial.point["size"]}
    if trial.kind == "time":
        ending["samples"] = {
            name: [unit * factor * draw.lognormvariate(0, 0.005) for _ in range(5)]
            for name, factor in true.items()
        }
        ending |= {"work": {}, "load": None}
    run.of(trial).mkdir(parents=True, exist_ok=True)
    finish(run.of(trial), trial, ending | more)


def change(run: Run, keys: str, **more: Any) -> None:
    """Change what some trials ended with."""
    paths = list(run.folder.glob(f"trials/{keys}/trial.json"))
    assert paths
    for path in paths:
        path.write_text(json.dumps(json.loads(path.read_text()) | more))


def word(results: Results, claim: str) -> str:
    return next(verdict.word for verdict in results.verdicts if verdict.claim == claim)


def detail(results: Results, claim: str) -> str:
    return next(verdict.detail for verdict in results.verdicts if verdict.claim == claim)


def test_known_times_give_the_known_verdicts(tmp_path: Path) -> None:
    gathered = gather(made(tmp_path, 6))
    words = {verdict.claim: verdict.word for verdict in gathered.verdicts}
    assert words == {
        "same": "holds", "slower": "holds", "faster": "fails here", "counted": "holds", "linear": "holds",
        "of-wrong": "not tested", "elsewhere": "slower*",
    }  # fmt: skip
    rows: Any = gathered.comparison.query("metric == 'time' and size == 2").set_index("variant")
    assert rows.loc["tenth-slower", "ratio"] == pytest.approx(1.1, rel=0.01)


def test_a_run_is_judged_at_its_looks_however_it_goes_on(tmp_path: Path) -> None:
    run = made(tmp_path, 6)
    assert run.facts["planned"] == 6
    at_six = gather(run).verdicts
    at_nine = gather(continued(run, 9)).verdicts
    assert run.facts["planned"] == planned_replicates(run) == 6
    assert [(v.word, v.interval) for v in at_nine] == [(v.word, v.interval) for v in at_six]
    assert detail(gather(run), "slower") == "judged at 6 of 9 repeats; the next look is at 12"
    assert detail(gather(run), "elsewhere").endswith("judged at 6 of 9 repeats; the next look is at 12")
    at_twelve = gather(continued(run, 12))
    assert detail(at_twelve, "slower") == ""
    verdict = next(v for v in at_twelve.verdicts if v.claim == "slower")
    assert (
        verdict.replicates == 12
        and verdict.interval
        and verdict.interval.level == pytest.approx(1 - 0.009375)
    )


def test_a_run_made_for_more_is_not_judged_before_it_has_them(tmp_path: Path) -> None:
    run = made(tmp_path, 8)
    assert word(gather(run), "slower") == "holds"
    for path in run.folder.glob("trials/time.size=1.7/trial.json"):
        path.unlink()
    gathered = gather(run)  # seven are complete; of the eighth there is one point
    assert word(gathered, "slower") == "preview" and word(gathered, "counted") == "holds"
    assert (
        detail(gathered, "slower") == "leans to holds: other trials of its first 8 repeats are still to come"
    )
    for path in run.folder.glob("trials/time.size=2.[67]/trial.json"):
        path.unlink()
    assert detail(gather(run), "slower") == "leans to holds: 6 of the 8 repeats a verdict takes"


def test_processes_that_failed_are_not_waited_for(tmp_path: Path) -> None:
    run = made(tmp_path, 8)
    change(run, "time.size=2.3", status="failed", reason="out of memory")
    gathered = gather(run)
    verdict = next(v for v in gathered.verdicts if v.claim == "slower")
    assert verdict.word == "holds" and verdict.replicates == 7


@pytest.mark.parametrize("planned", ["six", 0, True, None])
def test_an_older_run_was_made_for_what_its_file_says(tmp_path: Path, planned: Any) -> None:
    run = made(tmp_path, 7)
    run.update(planned=planned)
    assert planned_replicates(run) == 7
    if planned is None:
        continued(run, 9)
        assert run.facts["planned"] == 7 and word(gather(run), "slower") == "holds"


def test_a_busy_machine_is_known_by_process_and_reaches_the_verdict(tmp_path: Path) -> None:
    run = made(tmp_path, 6)
    change(run, "time.size=2.4", load="busy: other processes use 1.5 of 2 cores; timings will be noisier")
    gathered = gather(run)
    reason = "the machine was busy with something else in 1 of 6 timing processes"
    assert (
        detail(gathered, "slower").startswith(f"leans to holds: {reason}; 6 more on a quiet one")
        and word(gathered, "elsewhere") == "preview"
    )
    assert word(gathered, "counted") == "holds" and word(gathered, "linear") == "holds"
    assert "the machine was busy with something else in 1 of 12 timing processes" in gathered.warnings
    assert word(gather(continued(run, 12)), "slower") == "holds"  # by the eleven others


def test_a_control_that_is_off_reaches_the_verdict(tmp_path: Path) -> None:
    run = made(tmp_path, 6)
    for trial in plan(loaded(6)):
        if trial.kind == "time" and trial.point["size"] == 2:
            end(run, trial, TRUE | {"base" + AGAIN: 1.08})
    gathered = gather(run)
    assert list(gathered.control["off"]) == [False, True]
    assert word(
        gathered, "slower"
    ) == "preview" and "A/A control off: time of base came out 8% above itself" in detail(gathered, "slower")
    assert any(
        note.startswith("A/A control off") and "size=2: time of base" in note for note in gathered.warnings
    )


def test_a_process_counts_by_the_median_of_its_blocks(tmp_path: Path) -> None:
    """Seconds 1, 1, 2, 9, 9: the median is 2, the least 1, the mean 4.4."""
    run = made(tmp_path, 6)
    blocks = {
        "base": [1.0] * 5,
        "base" + AGAIN: [1.0] * 5,
        "same": [9.0, 1.0, 2.0, 1.0, 9.0],
        "tenth-slower": [1.1] * 5,
    }
    change(run, "time.*", samples=blocks)
    rows: Any = gather(run).comparison.query("metric == 'time' and size == 1").set_index("variant")
    assert rows.loc["same", "estimate"] == pytest.approx(2000.0)  # ms
    assert rows.loc["same", "ratio"] == pytest.approx(2.0)


def test_every_timed_tier_has_a_control_of_its_own(tmp_path: Path) -> None:
    """The first of each tier that passed its check, and nobody of the tier that is never timed."""
    from lab.core.run.execute import _controls

    text = (
        KNOWN.read_text()
        .replace("  same: {}\n", "  same: {tier: compiled}\n")
        .replace("  tenth-slower: {f", "  tenth-slower: {tier: compiled, f")
    )
    file = tmp_path / "known.yaml"
    file.write_text(text.replace("  wrong: {}\n", "  wrong: {tier: reference}\n"))
    (tmp_path / "known_trial.py").write_text((KNOWN.parent / "known_trial.py").read_text())
    loaded = load_document(read(file), Request())

    def controls(*timed: str) -> Sequence[str]:
        return _controls(loaded, timed)

    assert controls("base", "same", "tenth-slower") == ("base", "same")
    assert controls("base", "tenth-slower") == ("base", "tenth-slower") and controls("same") == ("same",)


def failing(run: Run, keys: str) -> None:
    """As if these trials had been killed."""
    change(run, keys, status="failed", reason="its process was ended by SIGKILL", cause="machine")


def test_a_look_with_trials_done_again_counts_as_two(tmp_path: Path) -> None:
    """Ten repeats, judged without one of them; done again, the same look is judged at the level of the next."""
    run = made(tmp_path, 10)
    (before,) = {
        verdict.interval.level
        for verdict in gather(run).verdicts
        if verdict.claim == "same" and verdict.interval
    }
    failing(run, "time.size=2.3")
    assert next(v for v in gather(run).verdicts if v.claim == "same").replicates == 9
    levels = []
    for repeats in (10, 10, 20):
        seen = next(v for v in gather(continued(run, repeats)).verdicts if v.claim == "same")
        assert seen.interval is not None and seen.replicates == repeats
        levels.append(1 - seen.interval.level)
    assert 1 - before == 0.03125 and run.facts["again"] == [10]
    assert levels == pytest.approx([0.009375, 0.009375, 0.0046875])  # the second time nothing had failed


def test_a_look_that_gave_no_verdict_without_the_trial_counts_once(tmp_path: Path) -> None:
    run = made(tmp_path, 6)
    failing(run, "time.size=2.3")
    assert word(gather(run), "same") == "preview"  # five repeats
    again = next(v for v in gather(continued(run, 6)).verdicts if v.claim == "same")
    assert run.facts["again"] == [] and again.word == "holds"
    assert again.interval is not None and again.interval.level == 1 - 0.03125


def test_a_verdict_rests_on_the_control_of_its_own_repeats(tmp_path: Path) -> None:
    """Between two looks the control goes off; the verdict of the last look stands, and at the next look it falls."""
    run = continued(made(tmp_path, 6), 11)
    for path in run.folder.glob("trials/time.size=2.*/trial.json"):
        trial = json.loads(path.read_text())
        if trial["replicate"] >= 6:
            trial["samples"]["base" + AGAIN] = [1.5 * x for x in trial["samples"]["base"]]
            path.write_text(json.dumps(trial))
    seen = gather(run)
    assert seen.control["off"].any() and word(seen, "same") == "holds"
    assert not any("claims about times there are not judged" in warning for warning in seen.warnings)
    for path in run.folder.glob("trials/time.size=2.*/trial.json"):
        trial = json.loads(path.read_text())
        trial["samples"]["base" + AGAIN] = [1.5 * x for x in trial["samples"]["base"]]
        path.write_text(json.dumps(trial))
    assert word(gather(run), "same") == "preview"
