"""Imports point one way, and what must be instant imports nothing heavy."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GENERAL = {
    "atomic",
    "cache_folder",
    "lazy",
    "safe_text",
    "source_digest",
    "suggest",
    "two_cuts",
    "search_tree",
    "heat_map",
}  # of no subject: leaves that everyone may import
RUNNER = {"trial", "own_files", "experiment", "run", "analysis", "report", "results", "tracking", "measure"}
SUBJECTS = {path.parent.name for path in (ROOT / "core").glob("*/trial.py")}
LAYERS = [
    "softmax",
    "attention",
    "position",
    "lm",
    "grpo",
    "distill",
    "power_sampling",
    "r1_distill",
    "r1_stages",
    "search",
    "length_generalisation",
    "bitter",
    "incentivize",
]  # each may import those before it
MAY_IMPORT = {
    "trial": set(),
    "own_files": set(),
    "compiled": {"trial", "own_files"},
    "addresses": {"trial"},
    "measure": {"trial", "compiled"},
    "experiment": {"trial", "own_files", "measure"},
    "analysis": {"trial", "measure", "experiment"},
    "run": {"trial", "own_files", "compiled", "measure", "experiment", "analysis"},
    "report": {"trial", "measure", "experiment", "analysis"},
    "results": {"run", "report", "analysis", "experiment"},
    "tracking": {"results", "run", "experiment", "report"},
}


def imported(path: Path) -> set[str]:
    """The parts of core that a file imports, by relative or absolute name."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                base = list(package[: len(package) - node.level + 1])
            elif (node.module or "").split(".")[0] == "lab":
                base = []
            else:
                continue
            parts = base + [part for part in (node.module or "").split(".") if part and part != "lab"]
            found |= {(*parts, alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {
                tuple(alias.name.split(".")[1:]) for alias in node.names if alias.name.startswith("lab.")
            }
    return {parts[1] if parts[0] == "core" and len(parts) > 1 else parts[0] for parts in found if parts}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "core").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT))
)
def test_core_imports_only_what_stands_below_it(path: Path) -> None:
    parts = path.relative_to(ROOT / "core").parts
    here = parts[0].removesuffix(".py")
    names = imported(path) - {here, "__init__"}
    assert "cli" not in names
    if here in GENERAL:
        assert not names & (RUNNER | SUBJECTS | GENERAL)
    elif here in MAY_IMPORT:
        assert names & (RUNNER | SUBJECTS) <= MAY_IMPORT[here]
    elif here in LAYERS:
        below = set(LAYERS[: LAYERS.index(here)])
        assert names & (RUNNER | SUBJECTS) <= {"trial", "own_files", "measure"} | below
    else:
        assert here == "__init__", f"core/{here} has no place in the arrows: say which in this test"


HEAVY = ("torch", "pandas", "matplotlib", "scipy", "numba", "numpy", "tokenizers")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["list"], [], ["run", "--help"], ["claims"], ["runs"]], ids=str
)
def test_what_must_be_instant_imports_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    heavy = (*HEAVY, "pydantic")  # the schema of experiments takes longer to build than a list to print
    code = (
        "import sys; sys.argv = ['lab', *sys.argv[1:]]\n"
        "from lab.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print('LOADED', [name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True
    )
    assert "LOADED []" in done.stdout, done.stdout + done.stderr


def test_the_server_of_trial_processes_has_one_thread_and_no_cuda() -> None:
    code = (
        "import os; from lab.core.measure.threads import thread_environment\n"
        "os.environ.update(thread_environment(1))\n"
        "import lab.core.run.preload, torch\n"
        "print(torch.cuda.is_initialized(), len(os.listdir('/proc/self/task')), torch.get_num_threads())"
    )
    if not Path("/proc/self/task").exists():
        pytest.skip("no /proc here")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "1", "1"]


PACKAGES = [ROOT / "cli" / "__init__.py", *sorted((ROOT / "core").rglob("__init__.py"))]
MAPS = [path for path in PACKAGES if "In reading order:" in path.read_text()]


@pytest.mark.parametrize("path", MAPS, ids=lambda p: str(p.parent.relative_to(ROOT)))
def test_the_map_of_a_package_names_all_of_its_files(path: Path) -> None:
    words = set(re.findall(r"[\w.]+", ast.get_docstring(ast.parse(path.read_text())) or ""))
    modules = {other.stem for other in path.parent.glob("*.py")} - {"__init__"}
    assert not modules - {word.removesuffix(".py") for word in words}
