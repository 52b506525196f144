"""A search tree: what is refused, what a record keeps, and how the report draws it at growing budgets."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.core.report.page import write_report
from lab.core.report.trees import tree_drawing
from lab.core.run.context import TrialContext
from lab.core.run.plan import key_of
from lab.core.run.trial_rows import samples_of
from lab.core.trial import SearchTree, TreeStep

from .test_page import page

TREE = SearchTree(
    title="A beam of 4",
    problem="7+5+8=",
    steps=(
        TreeStep(parent=-1, text="7+5=2", score=0.9, value=0.8, spent=4, times=3),
        TreeStep(parent=-1, text="7+5=3", score=0.2, value=0.1, spent=4),
        TreeStep(parent=0, text="2+8=0</think>", score=0.95, value=1.0, spent=8),
        TreeStep(parent=0, text="2+8=<1>", score=0.97, value=0.0, spent=12),
    ),
    chosen=2,
    budgets=(4, 16),
)


def test_a_step_comes_behind_its_parent() -> None:
    step = TREE.steps[0]
    with pytest.raises(ValueError, match="step 0 has parent 1"):
        SearchTree(**{**TREE.model_dump(), "steps": [step.model_copy(update={"parent": 1}), step]})
    with pytest.raises(ValueError, match="chosen is 4, and there are 4 steps"):
        SearchTree(**{**TREE.model_dump(), "chosen": 4})


def test_it_is_drawn_as_it_was_at_each_budget() -> None:
    small, large = tree_drawing(TREE).grown
    assert (small.said, large.said) == ("4 tokens, 2 steps", "16 tokens, 4 steps")
    assert large.plain.splitlines() == [
        " rated worth",
        "* 0.90  0.80  7+5=2 ×3",
        "* 0.95  1.00  ├ 2+8=0</think>",
        "  0.97  0.00  └ 2+8=<1>",
        "  0.20  0.10  7+5=3",
    ]
    assert str(small.svg).count('stroke="currentColor"') == 2
    # No two boxes stand at one place, and a parent stands in the middle of its children.
    boxes = re.findall(r'<rect x="(\d+)" y="([\d.]+)"[^>]*fill="none"', str(large.svg))
    assert len(set(boxes)) == 4
    places = sorted((float(x), float(y)) for x, y in boxes)
    assert places[0][1] == (places[2][1] + places[3][1]) / 2
    assert "<1>" not in str(large.svg)


def test_the_page_draws_what_a_trial_keeps(trained: Any, tmp_path: Path) -> None:
    trial = {"kind": "train", "variant": "reward", "point": {}, "replicate": 0}
    folder = tmp_path / key_of("train", "reward", {}, 0)
    folder.mkdir()
    TrialContext("reward", 0, "cpu", 1, folder, folder).sample(0, TREE)
    run: Any = SimpleNamespace(of=lambda key: tmp_path / key)
    _, drawn = samples_of(trained.experiment, run, [trial])
    assert drawn == {TREE: ["reward"]}
    html, markdown = write_report([page(trained, tmp_path, drawn=drawn)], tmp_path)
    assert html.read_text().count('<figure class="search-tree">') == 1
    assert "* 0.95  1.00  ├ 2+8=0</think>" in markdown.read_text()
