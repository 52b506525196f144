"""Finds the subject that a `trial:` line names, and functions in a user's file."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, ClassVar

from ..suggest import nearest
from ..trial import Case, Context, Kernel, Params

CORE = Path(__file__).resolve().parents[1]
STANDS_ON = {
    "lab", "torch", "numpy", "pandas", "scipy", "matplotlib", "numba", "triton", "yaml", "pydantic", "psutil", "filelock",
    "jinja2", "rich", "typer", "transformers", "tokenizers",
}  # fmt: skip
RENAMED = {"distill/across": "distill/cross_tokenizer"}
"""Former names of built-in subjects, which stored runs and users' files may still have."""


class NoSubject(Exception):
    """A `trial:` line or a reference names nothing that exists; the message says what to put right."""


@dataclass(frozen=True)
class Subject:
    """What a `trial.py` defines."""

    params: type[Params]
    case: Callable[[Any, Context], Case] | None
    trial: Callable[[Any, Context], Mapping[str, float]] | None
    file: Path
    kernels: Callable[[Any], Sequence[Kernel]] | None = None

    @property
    def is_timing(self) -> bool:
        return self.case is not None


def built_in() -> list[str]:
    """Folders below core/ that hold a trial.py, one inside another as `distill/bias`."""
    return sorted(path.parent.relative_to(CORE).as_posix() for path in CORE.glob("*/**/trial.py"))


def modules(trial: str) -> list[str]:
    """The modules of a built-in subject, its trial first; none for a user's file."""
    trial = RENAMED.get(trial, trial)
    if is_file(trial) or trial not in built_in():
        return []
    others = sorted(
        path.stem for path in (CORE / trial).glob("*.py") if path.stem not in ("__init__", "trial")
    )
    package = f"{__package__.rpartition('.')[0]}.{trial.replace('/', '.')}"
    return [f"{package}.{name}" for name in ["trial", *others]]


def is_file(trial: str) -> bool:
    return trial.endswith(".py") or trial.startswith((".", "/", "~"))


def load_subject(trial: str, folder: Path) -> Subject:
    """The subject of a `trial:` line; `folder` is what a relative path is relative to.

    Raises NoSubject: unknown name, no such file, a file that fails while it is imported, no Params, not
    exactly one of case and trial.
    """
    if is_file(trial):
        path = absolute_path(folder, trial)
        module = load_file(path)
    else:
        if not modules(trial):
            raise NoSubject(
                f"no subject {trial}.{nearest(trial, built_in())}; a file of yours starts with ./"
            )
        module = importlib.import_module(modules(trial)[0])
        path = Path(str(module.__file__))
    params = getattr(module, "Params", None)
    if not (isinstance(params, type) and issubclass(params, Params)) or params is Params:
        raise NoSubject(f"{path.name} must define Params, a subclass of lab.core.trial.Params")
    case, train = getattr(module, "case", None), getattr(module, "trial", None)
    if not callable(train):
        train = None  # `from lab.core import trial` in a user's file is no trial
    if (case is None) == (train is None):
        raise NoSubject(f"{path.name} must define exactly one of case (to be timed) and trial (to train)")
    kernels = getattr(module, "kernels", None)
    return Subject(params, case, train, path, kernels if callable(kernels) else None)


def absolute_path(folder: Path, text: str) -> Path:
    """The absolute path that a text names, relative to the folder; `~` is a home folder.

    Raises NoSubject: no path can be made of it: an unknown user's home, a loop of links, a null byte.
    """
    try:
        return (folder / Path(text).expanduser()).resolve()
    except (RuntimeError, ValueError, OSError):
        raise NoSubject(f"no such file or folder: {text}") from None


def load_file(path: Path) -> ModuleType:
    """Import one file of the user's, which may import what lies beside it, see `Beside`.

    Raises NoSubject: not there, or it fails while it is imported (with the line).
    """
    if not os.path.isfile(path):  # without raising, whatever the path
        raise NoSubject(f"no such file: {path.name}")
    name = f"lab_user_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise NoSubject(f"{path.name} is not a Python file")
    Beside.allow(path.parent)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with redirect_stdout(sys.stderr):  # what it prints is no part of our output
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        what = f"{type(error).__name__}: {error}"
        raise NoSubject(f"{path.name}{_line_of(error, path)} fails while it is imported: {what}") from error
    return module


class Beside(MetaPathFinder):
    """Modules beside a file of the user's, for the files of that folder alone.

    On `sys.path` the folder would serve all imports: torch would get a `queue.py` or `numpy.py` in it.
    A name of the standard library or of what lab stands on never means a file beside.
    """

    _folders: ClassVar[set[Path]] = set()

    @classmethod
    def allow(cls, folder: Path) -> None:
        """Let the files in a folder import each other."""
        cls._folders.add(folder)
        if not any(isinstance(finder, cls) for finder in sys.meta_path):
            at = sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else len(sys.meta_path)
            sys.meta_path.insert(at, cls())  # behind built-in and frozen ones, before what is installed

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is not None or name in sys.stdlib_module_names or name in STANDS_ON:
            return None
        asking: FrameType | None = sys._getframe(1)
        while asking is not None and "importlib" in asking.f_code.co_filename:
            asking = asking.f_back
        if asking is None:
            return None
        for folder in Path(asking.f_code.co_filename).parents:
            if folder in self._folders:
                return PathFinder.find_spec(name, [str(folder)], target)
            if str(folder) in sys.path or folder in (CORE, CORE.with_name("cli")):
                return None  # installed, in an environment below the user's folder perhaps
        return None


def _line_of(error: BaseException, path: Path) -> str:
    if isinstance(error, SyntaxError):
        return f":{error.lineno}" if error.lineno else ""
    line, frame = None, error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == str(path):
            line = frame.tb_lineno
        frame = frame.tb_next
    return f":{line}" if line else ""


@dataclass(frozen=True)
class Reference:
    """A function in a user's file, written `./file.py:function`."""

    path: Path
    function: str

    def __str__(self) -> str:
        return f"{self.path}:{self.function}"


def reference(text: str, folder: Path) -> Reference:
    """Take `./file.py:function` apart and see, without running the file, that the function is there.

    Raises NoSubject: no such file, not Python, no such function (with the nearest name).
    """
    file, _, function = text.rpartition(":")
    if not function.isidentifier():
        raise NoSubject(f"{text}: write it as ./file.py:function")
    path = absolute_path(folder, file)
    if not os.path.isfile(path):
        raise NoSubject(f"no such file: {file}")
    try:
        tree = ast.parse(path.read_bytes(), filename=path.name)
    except OSError as error:
        raise NoSubject(f"{file} cannot be read: {error.strerror}") from None
    except RecursionError:
        raise NoSubject(f"{file} is nested too deeply to be read") from None
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise NoSubject(f"{file}{f':{line}' if line else ''} is not Python: {error.args[0]}") from None
    names = set(_names(tree))
    if function not in names and "*" not in names:
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        raise NoSubject(f"{file} has no {function}.{nearest(function, functions)}")
    return Reference(path, function)


def _names(tree: ast.Module) -> list[str]:
    """Every name that a file defines, in any block: a superset of its functions, so that no right name is refused."""
    names: list[str] = []
    for node in ast.walk(tree):  # also inside `if` and `try`: a kernel with a fallback is defined there
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            names.append(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.append(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names += [alias.asname or alias.name for alias in node.names]
    return names


def load_function(target: Reference) -> Callable[..., Any]:
    """Import the file and take the function from it.

    Raises NoSubject: it fails while it is imported, or there is no such function.
    """
    function = getattr(load_file(target.path), target.function, None)
    if not callable(function):
        raise NoSubject(f"{target.path.name} has no function {target.function}")
    return function  # type: ignore[no-any-return]
