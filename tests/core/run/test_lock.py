"""Locks in shared folders: held for life, never through a link, never in the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab.core.run import lock

HOLD = """
import os, sys, time
from pathlib import Path
from lab.core.run import lock
lock.acquire(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(100)
"""


def test_a_lock_ends_with_its_process_however_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    other = subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        assert lock.is_held(path) and lock.acquire(path, patience=0) is None
    finally:
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert not lock.is_held(path)
    descriptor = lock.acquire(path, patience=0)
    assert descriptor is not None and lock.is_held(path), "by this very process as well"
    os.close(descriptor)


def test_nothing_is_followed_or_changed_that_lies_in_the_place_of_a_lock(tmp_path: Path) -> None:
    victim, link = tmp_path / "victim", tmp_path / "link"
    victim.write_text("mine")
    victim.chmod(0o600)
    link.symlink_to(victim)
    os.link(victim, tmp_path / "hard")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    for name in ("link", "hard", "fifo", "folder"):
        with pytest.raises(OSError):
            lock.acquire(tmp_path / name, for_everybody=True)
        lock.owner(tmp_path / name)
    assert victim.read_text() == "mine" and victim.stat().st_mode & 0o777 == 0o600


def test_what_a_holder_says_of_itself_does_nothing_to_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert lock.owner(path) == "another run"
    descriptor = lock.acquire(path, for_everybody=True)
    assert descriptor is not None and path.stat().st_mode & 0o777 == 0o666
    lock.write_owner(descriptor, "softmax abcd, longer")
    lock.write_owner(descriptor, "softmax abcd")
    assert lock.owner(path) == "softmax abcd"
    for text in (b"\xff\x1b[2J", b"\x1b]0;title\x07" * 100):
        path.write_bytes(text)
        assert lock.owner(path).isprintable() and len(lock.owner(path)) <= 100
    os.close(descriptor)


@pytest.mark.skipif(os.getuid() != 0, reason="needs to become somebody else")
def test_the_lock_of_another_user_is_taken_where_it_can_be_read(tmp_path: Path) -> None:
    for each in tmp_path.parents[:3]:
        each.chmod(0o711)
    tmp_path.chmod(0o711)
    for name, mode in (("open", 0o644), ("shut", 0o600)):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
    os.seteuid(65534)
    try:
        descriptor = lock.acquire(tmp_path / "open")
        with pytest.raises(PermissionError):
            lock.acquire(tmp_path / "shut")
        assert lock.is_held(tmp_path / "shut"), "unknown counts as held"
    finally:
        os.seteuid(0)
    assert descriptor is not None
    os.close(descriptor)
