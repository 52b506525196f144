"""Locks that the kernel keeps (flock): they end with the process that holds them, however it ends.

They know no clock and no numbers of processes, so they hold across containers, and across hosts where the file system
carries them (local ones and NFS do).
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from contextlib import suppress
from pathlib import Path

from ..safe_text import one_line

_OPEN = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # no link, not for children, and no waiting at a FIFO
_UNKNOWN = "another run"


def acquire(path: Path, *, for_everybody: bool = False, patience: float = 1.0) -> int | None:
    """Take the lock of a file, which is made where there is none.

    Args:
        for_everybody: whether other users of this machine may take it as well.
        patience: seconds to try for, since `is_held` takes the lock for an instant.
    Returns: A descriptor to keep open, or None where another process has the lock.
    Raises OSError: the file cannot be opened, is no regular file, or its file system knows no locks.
    """
    descriptor = _opened(path, 0o666 if for_everybody else 0o644)
    until = time.monotonic() + patience
    try:
        while not _locked(descriptor, path):
            if time.monotonic() >= until:
                os.close(descriptor)
                return None
            time.sleep(0.02)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _locked(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise OSError(error.errno, f"cannot be locked: {error.strerror}", str(path)) from None
    return True


def is_held(path: Path) -> bool:
    """Whether a living process has the lock; a file that this user may not open counts as locked."""
    try:
        descriptor = os.open(path, os.O_RDONLY | _OPEN)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except OSError:
        return True
    finally:
        os.close(descriptor)


def write_owner(descriptor: int, text: str) -> None:
    """Write into a lock's file who holds it, where this user may write."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)


def owner(path: Path) -> str:
    """Who holds a lock: what `write_owner` wrote, in at most 100 characters, none of which a terminal obeys."""
    try:
        descriptor = os.open(path, os.O_RDONLY | _OPEN)
    except OSError:
        return _UNKNOWN
    try:
        text = os.pread(descriptor, 400, 0).decode(errors="replace")
    except OSError:
        return _UNKNOWN
    finally:
        os.close(descriptor)
    return one_line(text)[:100] or _UNKNOWN


def _opened(path: Path, mode: int) -> int:
    """Open a lock file, perhaps in a folder that everybody writes to: follow no link, set the mode of a new one only."""
    try:
        descriptor = os.open(path, os.O_RDWR | _OPEN)
    except PermissionError:  # of another user; reading is enough for a lock
        descriptor = os.open(path, os.O_RDONLY | _OPEN)
    except FileNotFoundError:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _OPEN, mode)
        except FileExistsError:  # made by somebody else since
            return _opened(path, mode)
        os.fchmod(descriptor, mode)  # whatever the umask
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no file of its own, so not a lock", str(path))
    return descriptor
