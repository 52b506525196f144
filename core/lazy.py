"""Packages whose names load when they are first asked for, so that importing them, or a module in them, costs no torch.

A leaf.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from sys import modules


def names_of(package: str) -> Callable[[str], object]:
    """The `__getattr__` of the package of that `__name__`, for the names that it imports under TYPE_CHECKING.

    A type checker does not look into it: it reads those imports, and so goes on catching misspelt names.
    """

    def load(name: str) -> object:
        home = _homes(package)
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f".{home[name]}", package), name)

    return load


@cache
def _homes(package: str) -> dict[str, str | None]:
    """By name, the module of the package that it is imported from under a condition."""
    tree = ast.parse(Path(str(modules[package].__file__)).read_bytes())
    conditions = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for each in conditions for node in each.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module for node in imports for alias in node.names}
