"""Kernels are compiled before the trials that need them, beside those that need none."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.core.experiment.subject import load_subject
from lab.core.run import schedule
from lab.core.run.compiling import compiled_first
from lab.core.run.estimate import seconds_left
from lab.core.run.plan import Trial
from lab.core.run.process import Job
from lab.core.run.schedule import Event

SUBJECT = """
import time
from lab.core.trial import Case, Kernel, Params as Base
from numba import njit

class Params(Base):
    implementation: str = ""

def kernels(params):
    if params.implementation == "plain":
        return []
    return [Kernel(f"{params.implementation} {kind}", params.implementation, 1.0, lambda: code(1)) for kind in "ab"]

def case(params, context):
    return Case(lambda: None, lambda: {"started": time.time()}, {})

@njit
def code(x):
    return x + 1
"""


def jobs(folder: Path, *variants: str) -> list[Job]:
    (folder / "subject.py").write_text(SUBJECT)
    made = []
    for variant in variants:
        trial = Trial("check", variant, {}, 0, f"check.{variant}")
        made.append(
            Job(trial, str(folder / "subject.py"), str(folder), str(folder / "trials" / trial.key), {variant: {"implementation": variant}}, (), "cpu", 1, 0.1)
        )  # fmt: skip
    return made


def test_each_check_waits_for_its_own_kernels_and_for_no_others(tmp_path: Path) -> None:
    pytest.importorskip("numba")
    given = jobs(tmp_path, "one", "plain", "two", "one")
    subject = load_subject(given[0].subject, tmp_path)
    first, compiling = compiled_first(subject, given, (), tmp_path)
    keys = {job.trial.variant: job.trial.key for job in first if job.trial.kind == "compile"}
    assert list(keys) == ["one", "two"] and [job.trial.kind for job in first[2:]] == ["check"] * 4
    expected = [{keys["one"]}, set(), {keys["two"]}, {keys["one"]}]
    assert [set(job.after) for job in first[2:]] == expected
    event = compiling.in_numbers(Event("compiling", first[0], (["one a", "two a", "two b"],)), 2)
    assert event.detail == (3, 2.0, {keys["one"]: 1.0, keys["two"]: 2.0})
    faked = Event("compiling", first[2], (["one a"],))
    assert compiling.in_numbers(faked, 2) is faked, "a check is a user's program and compiles nothing of ours"


def test_what_compiles_goes_first_and_leaves_no_result_of_its_own(tmp_path: Path) -> None:
    pytest.importorskip("numba")
    given = jobs(tmp_path, "one", "plain")
    first, _ = compiled_first(load_subject(given[0].subject, tmp_path), given, (), tmp_path)
    heard: list[Event] = []
    schedule.start_server([], {})
    schedule.run(first, 2, 300, heard.append)
    said = [(event.what, event.job.trial.kind, event.job.trial.variant) for event in heard]
    assert said.index(("ended", "compile", "one")) < said.index(("started", "check", "one"))
    assert ("compiling", "compile", "one") in said
    assert {path.name for path in (tmp_path / "trials").iterdir()} == {"check.one", "check.plain"}


def test_one_that_waits_lets_those_behind_it_go_first(tmp_path: Path) -> None:
    from dataclasses import replace

    one, two, three = jobs(tmp_path, "one", "two", "three")
    heard: list[Event] = []
    schedule.start_server([], {})
    schedule.run([replace(one, after=frozenset({two.trial.key})), two, three], 1, 300, heard.append)
    assert [event.job.trial.variant for event in heard if event.what == "started"] == ["two", "one", "three"]


def test_a_subject_without_kernels_and_a_gpu_compile_nothing(tmp_path: Path) -> None:
    from dataclasses import replace

    given = jobs(tmp_path, "one")
    subject = load_subject(given[0].subject, tmp_path)
    assert compiled_first(replace(subject, kernels=None), given, (), tmp_path)[0] == given
    on_gpu = [replace(job, device="cuda") for job in given]
    assert compiled_first(subject, on_gpu, (), tmp_path)[0] == on_gpu
    assert compiled_first(subject, (), (), tmp_path)[0] == []
    assert [job.trial.kind for job in compiled_first(subject, (), given, tmp_path)[0]] == ["compile"]


def test_what_is_left_counts_compiling_and_timings_that_nobody_has_seen() -> None:
    trials = [Trial("check", "a", {}, 0, "c"), Trial("time", "", {}, 0, "t")]
    assert seconds_left(trials, {"c": 2.0}, {}, {}, 2) is None
    compiling = {"k": 10.0, "l": 6.0}
    assert seconds_left(trials, {"c": 2.0, "l": 5.0}, {"k": 4.0}, {}, 2, compiling, 3.0) == (10 - 4) / 2 + 3
    assert seconds_left(trials, {"c": 2.0}, {"k": 40.0}, {}, 2, compiling, 3.0) == 6 / 2 + 3
