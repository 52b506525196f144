"""The notebook of docs/ runs from top to bottom."""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path
from typing import Any

import pytest
from forked_lab import LAB

NOTEBOOK = Path(__file__).parents[1] / "docs" / "results.ipynb"


@pytest.mark.slow
def test_every_cell_of_the_notebook_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", f"{LAB.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    cells = [
        "".join(cell["source"])
        for cell in json.loads(NOTEBOOK.read_text())["cells"]
        if cell["cell_type"] == "code"
    ]
    names: dict[str, Any] = {}
    shown = [_run(cell, names) for cell in cells]
    assert "of valley (quick): 2 preview" in repr(names["run"])
    assert sum(hasattr(value, "columns") for value in shown) == 4 and all(
        len(v) for v in shown if hasattr(v, "columns")
    )
    assert (names["folder"] / "loss.pdf").read_bytes().startswith(b"%PDF")


def _run(cell: str, names: dict[str, Any]) -> Any:
    """Run a cell as a notebook does; returns the value of its last line, if that is an expression."""
    tree = ast.parse(cell)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, NOTEBOOK.name, "exec"), names)
    return (
        eval(compile(ast.Expression(last.value), NOTEBOOK.name, "eval"), names)
        if isinstance(last, ast.Expr)
        else None
    )
