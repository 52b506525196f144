"""The cache folder. A leaf."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """$LAB_CACHE, or the user's cache folder. An empty variable is none, and so is a relative $XDG_CACHE_HOME, as its
    specification demands.

    Raises PermissionError: this user has no home, and what would stand in for it belongs to somebody else.
    """
    if own := os.environ.get("LAB_CACHE"):
        return Path(own)
    if (shared := os.environ.get("XDG_CACHE_HOME", "")) and Path(shared).is_absolute():
        return Path(shared) / "lab"
    try:
        return Path.home() / ".cache" / "lab"
    except RuntimeError:  # no $HOME, and no such user: as in a container
        return temporary_cache_folder()


def temporary_cache_folder() -> Path:
    """A folder in the temporary one that only this user can write to, so that loading code and models from it is safe.

    Raises PermissionError: it belongs to somebody else, or others can write to it.
    """
    folder = Path(tempfile.gettempdir()) / f"lab-cache-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    facts = folder.lstat()
    if facts.st_uid != os.getuid() or facts.st_mode & 0o022 or folder.is_symlink():
        raise PermissionError(1, "is not this user's alone; set LAB_CACHE", str(folder))
    return folder
