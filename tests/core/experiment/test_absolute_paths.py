"""Files of the user's in parameters: relative to the experiment's file, told when they are not there, part of the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.core.experiment.load import Loaded, load, validate
from lab.core.experiment.mistakes import Mistakes
from lab.core.experiment.request import Request
from lab.core.own_files import digest
from lab.core.run.opening import as_yaml
from lab.core.run.plan import params_of, references

YAML = """
name: own
title: Files of one's own
question: Are they found?
trial: ./own_trial.py
params: {score: "right+2*./mine.py:f"}
variants:
  plain: {}
  other: {score: "./mine.py:f+./sub/a+b.py:g"}
  given: {model: {folder: ./weights}}
baseline: plain
seeds: 1
metrics: {loss: {kind: trained}}
"""
TRIAL = """
from pathlib import Path
from pydantic import BaseModel, ValidationInfo, model_validator
from lab.core.trial import Params as Base

class Model(BaseModel):
    folder: Path

class Params(Base):
    score: str = ""
    model: Model | None = None
    data: Path | None = None

    @model_validator(mode="after")
    def _is_called_f(self, info: ValidationInfo):
        if info.context is not None and self.score.startswith("./mine"):
            assert info.context.load("./mine.py:f")(3) == 3
            if not info.context.path(Path("mine.py")).is_absolute():
                raise ValueError("where?")
        return self

def trial(params, context):
    return {"loss": 0.0}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "w").write_text("1")
    (tmp_path / "mine.py").write_text("def f(x): return x\n")
    (tmp_path / "sub" / "a+b.py").write_text("def g(x): return x\n")
    (tmp_path / "own_trial.py").write_text(TRIAL)
    (tmp_path / "own.yaml").write_text(YAML)
    return tmp_path


def loaded(folder: Path, *sets: str, cwd: Path | None = None) -> Loaded:
    return load(str(folder / "own.yaml"), Request(sets=sets, folder=cwd or folder))


def test_a_trial_gets_absolute_paths(folder: Path) -> None:
    found = loaded(folder)
    assert params_of(found, "plain", {}) == {"score": f"right+2*{folder}/mine.py:f"}
    assert params_of(found, "other", {}) == {"score": f"{folder}/mine.py:f+{folder}/sub/a+b.py:g"}
    assert params_of(found, "given", {})["model"] == {"folder": f"{folder}/weights"}


def test_what_is_in_them_belongs_to_the_run(folder: Path) -> None:
    digests = references(loaded(folder))
    names = ("mine.py", "own_trial.py", "sub/a+b.py", "weights")
    assert digests == {str(folder / name): digest(folder / name) for name in names}
    (folder / "weights" / "w").write_text("2")
    changed = references(loaded(folder))
    assert {path for path in digests if digests[path] != changed[path]} == {str(folder / "weights")}


def test_the_resolved_file_stands_alone(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "own.yaml"
    elsewhere.write_text(as_yaml(loaded(folder)))
    again = validate(elsewhere)
    for variant in ("plain", "other", "given"):
        assert params_of(again, variant, {}) == params_of(loaded(folder), variant, {})


def test_what_is_typed_is_relative_to_where_one_stands(folder: Path) -> None:
    found = loaded(folder, "other.score=right+./a+b.py:g", "data=a+b.py", cwd=folder / "sub")
    assert params_of(found, "other", {}) == {
        "score": f"right+{folder}/sub/a+b.py:g",
        "data": f"{folder}/sub/a+b.py",
    }
    found = loaded(folder, "model.folder=../weights", cwd=folder / "sub")
    assert params_of(found, "plain", {})["model"] == {"folder": f"{folder}/weights"}
    with pytest.raises(Mistakes, match=r"^-s model\.folder=\./weights: no such file or folder: \./weights$"):
        loaded(folder, "model.folder=./weights", cwd=folder / "sub")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("right+2*./mine.py:f", "right+2*./nowhere.py:f", "own.yaml:6:10: no such file: ./nowhere.py"),
        (
            "right+2*./mine.py:f",
            "right+2*./mine.py:ff",
            "own.yaml:6:10: ./mine.py has no ff. Did you mean f?",
        ),
        ("sub/a+b.py:g", "sub/a+c.py:g", "own.yaml:9:11: no such file: ./sub/a+c.py"),
        ("sub/a+b.py:g", "sub/a+b.py:", "own.yaml:9:11: ./sub/a+b.py:: write it as ./file.py:function"),
        ("./weights", "./weihgts", "own.yaml:10:19: no such file or folder: ./weihgts"),
    ],
)
def test_what_is_not_there_is_told_once_with_its_place(
    folder: Path, old: str, new: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert YAML.count(old) == 1
    (folder / "own.yaml").write_text(YAML.replace(old, new))
    with pytest.raises(Mistakes) as caught:
        validate(Path("own.yaml"))
    assert str(caught.value) == message


def test_a_preset_too_names_files_that_are_there(folder: Path) -> None:
    (folder / "own.yaml").write_text(
        YAML + 'presets: {quick: {variants: {plain: {score: "./nowhere.py:f"}}}}\n'
    )
    with pytest.raises(Mistakes, match=r"no such file: \./nowhere\.py$"):
        validate(folder / "own.yaml")
