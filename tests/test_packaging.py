"""What is shipped is what is there."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_folder_with_python_is_a_package_of_the_wheel() -> None:
    folders = {path.parent for top in ("cli", "core") for path in (ROOT / top).rglob("*.py")}
    folders = {folder for folder in folders if folder.name != "templates"}
    names = {"lab." + ".".join(folder.relative_to(ROOT).parts) for folder in folders}
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    assert listed == names | {"lab.experiments"}, "packages in pyproject.toml"


def test_torch_has_no_upper_bound_and_the_tested_set_is_pinned() -> None:
    assert "torch>=2.11" in PROJECT["project"]["dependencies"]
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert "torch==2.13.0" in pins and all("==" in pin for pin in pins)


def test_the_schema_beside_the_experiments_is_the_one_that_is_checked() -> None:
    from lab.core.experiment.schema import Experiment

    shipped = json.loads((ROOT / "experiments" / "schema.json").read_text())
    assert shipped == Experiment.model_json_schema(), "lab validate --schema > experiments/schema.json"
    for path in (ROOT / "experiments").glob("*.yaml"):
        first = path.read_text().partition("\n")[0]
        assert first == "# yaml-language-server: $schema=schema.json", f"the first line of {path.name}"


def test_what_the_documents_link_to_is_there() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "LOG.md", ROOT / "results" / "README.md"]
    for page in (*pages, *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"""(?<!\w)\[[^\]"]*\]\(([^)#\s]+)""", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_readme_has_the_table_of_experiments(tmp_path: Path) -> None:
    from lab.cli.list import markdown_table

    assert markdown_table() in (ROOT / "README.md").read_text(), (
        "paste the output of: lab list --format markdown"
    )
