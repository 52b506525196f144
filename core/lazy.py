"""Packages whose names load when they are first asked for, so that importing them costs no torch. A leaf."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module


def names_of(package: str, modules: Mapping[str, Sequence[str]]) -> Callable[[str], object]:
    """The `__getattr__` of a package.

    A type checker does not look into it: it reads imports under TYPE_CHECKING, and so goes on catching misspelt names.

    Args:
        package: its `__name__`.
        modules: by module of the package, the names that come from it.
    """
    home = {name: module for module, names in modules.items() for name in names}

    def load(name: str) -> object:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f".{home[name]}", package), name)

    return load
