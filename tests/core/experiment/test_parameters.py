"""Every parameter of a subject has a type in words, a sentence, and where it is set."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from lab.core.experiment.load import load
from lab.core.experiment.parameters import Parameter, Setting, parameters
from lab.core.experiment.subject import built_in, load_subject
from lab.core.trial import Params


class Inner(BaseModel):
    width: int = 4


class Other(BaseModel):
    name: str


class Every(Params):
    count: int = Field(3, ge=1, lt=9)
    """How many there are,
    in one line."""
    word: Literal["a", "b"] | Literal["c", ""] = "a"
    maybe: float | None = Field(None, gt=0)
    pair: tuple[int, int] = (1, 2)
    texts: list[str] = []
    must: bool
    inside: Inner | Other | None = None
    file: Path | None = None


def of(name: str, **file: Any) -> Parameter:
    from lab.core.experiment.schema import Experiment

    least = {"name": "x", "title": "", "question": "", "trial": "x", "baseline": "v", "repeats": 1}
    least |= {"variants": {"v": {}}, "metrics": {"m": {"kind": "counted"}}}
    return {one.name: one for one in parameters(Every, Experiment(**least | file))}[name]


def test_types_are_told_in_words() -> None:
    assert of("count").type == "whole number ≥ 1 and < 9"
    assert of("count").says == "How many there are, in one line."
    assert of("maybe").type == "number > 0, or null"
    assert of("pair").type == "two values: whole number, whole number"
    assert of("texts").type == "list of text" and of("file").type == "file or folder, or null"
    assert of("must").is_required and of("must").default is None


def test_choices_of_a_union_are_those_of_all_its_members() -> None:
    assert of("word").choices == ("a", "b", "c", "")
    assert of("word").type == 'one of a, b, c, ""'


def test_parameters_inside_of_another_are_named_as_s_takes_them() -> None:
    assert of("inside.width").default == 4 and of("inside.name").is_required
    assert of("inside").type == "mapping with width or mapping with name, or null"


def test_whatever_sets_a_parameter_is_named() -> None:
    presets = {"quick": {"params": {"count": 1}, "axes": {"must": [True]}, "variants": {"v": {"count": 4}}}}
    file: dict[str, Any] = {"params": {"count": 2, "inside": {"width": 8}}, "presets": presets}
    file |= {"axes": {"count": [1, 2]}, "variants": {"v": {"count": 5}}, "checks": {"count": [7]}}
    assert of("count", **file).set_by == (
        Setting("params", "", (2,)),
        Setting("variant", "v", (5,)),
        Setting("checks", "", (7,)),
        Setting("axis", "", (1, 2)),
        Setting("preset", "quick", (1,)),
        Setting("preset", "quick", (4,)),
    )
    assert of("inside.width", **file).set_by == (Setting("params", "", (8,)),)
    assert of("must", **file).set_by == (Setting("preset", "quick", (True,)),)


@pytest.mark.parametrize("subject", built_in())
def test_every_parameter_of_ours_has_a_sentence(subject: str) -> None:
    fields = load_subject(subject, Path()).params.model_fields
    assert not [name for name, field in fields.items() if not field.description]


def test_a_union_of_models_is_listed_in_a_real_experiment() -> None:
    loaded = load("grpo")
    found = {one.name: one for one in parameters(loaded.subject.params, loaded.experiment)}
    assert found["model.hf"].type == "file or folder"
    assert {setting.by for setting in found["reward"].set_by} == {"variant"}
