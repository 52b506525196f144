"""A digest of the source code that a module depends on: the part of a cache key that changes when our code does. A leaf.

Nothing is imported: the files are read, and the imports in them followed.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

CORE = Path(__file__).resolve().parent
ALL = "*"
Module = tuple[str, ...]
"""Below `lab.core`: ("grpo", "rollout")."""


@cache
def source_digest(module: str, core: Path = CORE) -> str:
    """Hexadecimal SHA-256 of the files that `source_files` lists, computed once for each process.

    Args:
        module: its `__name__`, such as "lab.core.grpo.base_model".
        core: the folder that is `lab.core`.
    """
    digest = hashlib.sha256()
    for file in source_files(module, core):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(core).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def source_files(module: str, core: Path = CORE) -> list[Path]:
    """The file of a module and those of all modules of `lab.core` that it imports, directly or through others, sorted.

    Imports inside functions are followed. Those that only a type checker reads are not, except in a package whose names
    load lazily (`lazy.names_of`): there they say which module a name comes from, and only names that are asked for are
    followed. A module that is imported under a computed name is not found.

    Raises FileNotFoundError: a module that does not exist.
    """
    waiting: list[tuple[Module, str]] = [(tuple(module.split(".")[2:]), ALL)]
    visited: set[tuple[Module, str]] = set()
    files: set[Path] = set()
    while waiting:
        importing, wanted = waiting.pop()
        file = _file(core, importing)
        is_package = file.name == "__init__.py"
        if (importing, wanted if is_package else ALL) in visited:
            continue
        visited.add((importing, wanted if is_package else ALL))
        files.add(file)
        if importing:
            waiting.append((importing[:-1], ""))  # importing a module runs the packages above it
        for target, name, called, for_types in _imports(file, importing if is_package else importing[:-1]):
            if for_types and not (is_package and wanted in (ALL, called)):
                continue
            below = (*target, name)
            waiting.append((below, ALL) if _exists(core, below) else (target, name))
    return sorted(files)


def _file(core: Path, module: Module) -> Path:
    path = core.joinpath(*module)
    return path / "__init__.py" if path.is_dir() else path.with_name(f"{path.name}.py")


def _exists(core: Path, module: Module) -> bool:
    return _file(core, module).is_file()


@cache
def _read(file: Path) -> Sequence[tuple[ast.ImportFrom, bool]]:
    return list(_statements(ast.parse(file.read_bytes()).body))


def _imports(file: Path, package: Module) -> Iterator[tuple[Module, str, str, bool]]:
    """Of each imported name: the module it comes from, the name there, the name here, whether only for a type checker."""
    for node, for_types in _read(file):
        module = tuple(node.module.split(".")) if node.module else ()
        if node.level:
            module = package[: len(package) - node.level + 1] + module
        elif module[:2] == ("lab", "core"):
            module = module[2:]
        else:
            continue
        for alias in node.names:
            yield module, alias.name, alias.asname or alias.name, for_types


def _statements(body: Sequence[ast.AST], for_types: bool = False) -> Iterator[tuple[ast.ImportFrom, bool]]:
    """Every `from … import …`, at any depth, and whether it stands under `if TYPE_CHECKING:`."""
    for node in body:
        if isinstance(node, ast.ImportFrom):
            yield node, for_types
        typed = (
            isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        )
        yield from _statements(getattr(node, "body", ()), for_types or typed)
        for other in ("orelse", "finalbody", "handlers", "cases"):
            yield from _statements(getattr(node, other, ()), for_types)
