"""A digest of the source that a module depends on: which files count, followed without importing anything."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lab.core.source_digest import CORE, source_digest, source_files

CACHED = [
    ".".join(path.relative_to(CORE).with_suffix("").parts)
    for path in sorted(CORE.rglob("*.py"))
    if "source_digest(__name__)" in path.read_text() and "report" not in path.parts
]
"""The modules whose trained results are cached under a key that holds their digest."""


def tree(core: Path, **files: str) -> Path:
    for name, text in files.items():
        path = core.joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        for folder in (core, path.parent):
            (folder / "__init__.py").touch()
        path.write_text(text)
    return core


def names(module: str, core: Path = CORE) -> set[str]:
    return {file.relative_to(core).as_posix() for file in source_files(f"lab.core.{module}", core)}


def test_an_edit_far_below_changes_the_digest_and_one_of_a_report_does_not(tmp_path: Path) -> None:
    def digests(*edited: str) -> list[str]:
        core = tmp_path / "-".join(("core", *edited)).replace("/", "-")
        shutil.copytree(CORE, core, ignore=shutil.ignore_patterns("__pycache__"))
        for name in edited:
            (core / name).write_text((core / name).read_text() + "\n# another line\n")
        return [source_digest(f"lab.core.{module}", core) for module in CACHED]

    trained = [CACHED.index(module) for module in ("grpo.base_model", "distill.teacher")]
    here = [source_digest(f"lab.core.{module}") for module in CACHED]
    assert digests() == digests("report/page.py") == here
    for name in ("compiled/exponential.py", "attention/triton/forward.py", "lm/model.py"):
        edited = digests(name)
        assert all(edited[i] != here[i] for i in trained), name


def test_a_base_model_depends_on_every_built_in_task() -> None:
    tasks = {"chain", "reverse", "sort", "copying", "countdown", "gym"}
    assert {f"grpo/tasks/{name}.py" for name in tasks} <= names("grpo.base_model")


def test_no_module_imports_ours_under_a_computed_name() -> None:
    """`source_files` could not follow it; `lazy` names what it loads a second time, for type checkers."""
    computed = {"lazy.py", "experiment/subject.py"}
    for path in CORE.rglob("*.py"):
        if path.relative_to(CORE).as_posix() not in computed:
            assert "import_module(f" not in path.read_text() and "import lab." not in path.read_text(), path


def test_imports_are_followed_inside_functions_and_around_circles(tmp_path: Path) -> None:
    core = tree(
        tmp_path / "core",
        a__one="def f():\n    try:\n        from ..b import two\n    except ImportError:\n        pass\n",
        b__two="from .three import x\nfrom lab.core.c.four import y",
        b__three="from . import two\nx = 1",
        c__four="y = 2",
        c__other="",
    )
    packages = {"__init__.py", "a/__init__.py", "b/__init__.py", "c/__init__.py"}
    assert names("a.one", core) == packages | {"a/one.py", "b/two.py", "b/three.py", "c/four.py"}


LAZY = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .one import f\n    from .two import g\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("from .a import f", {"a/one.py"}),
        ("from . import a", {"a/one.py", "a/two.py"}),
        ("from .a.two import g", {"a/two.py"}),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .a import f", set()),
    ],
)
def test_of_a_lazy_package_only_the_names_asked_for_are_followed(
    tmp_path: Path, line: str, expected: set[str]
) -> None:
    core = tree(tmp_path / "core", a__one="f = 1", a__two="g = 1", user=line)
    (core / "a" / "__init__.py").write_text(LAZY)
    assert names("user", core) - {"__init__.py", "user.py", "a/__init__.py"} == expected


def test_an_import_of_what_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        source_files("lab.core.user", tree(tmp_path / "core", user="from .gone import x"))
