"""What tests of the command line share: the real `lab`, run as a person runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

KNOWN = Path(__file__).parent / "known" / "known.yaml"
LAB = Path(sys.executable).parent / "lab"

Lab = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Run `lab ARGUMENTS` in an empty folder of its own; returns the finished process."""

    def run(
        *arguments: str | Path, cwd: Path = tmp_path, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(LAB), *map(str, arguments)],
            cwd=cwd,
            env=os.environ | {"LAB_CACHE": str(tmp_path / "cache")} | environment,
            capture_output=True,
            text=True,
            timeout=240,
        )

    return run


def read(path: Path) -> Any:
    return json.loads(path.read_text())
