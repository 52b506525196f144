"""Where things made once are kept. A leaf."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """$LAB_CACHE, or the user's cache folder."""
    if "LAB_CACHE" in os.environ:
        return Path(os.environ["LAB_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lab"
