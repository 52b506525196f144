"""What a report must not give away: where the user's files lie, and who and which machine that is."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

_HOMES = re.compile(r"""(/home|/Users|[A-Za-z]:\\Users)[/\\][^/\\\s"'<>|:]+|/root(?=[/\s"':]|$)""")
_PRIVATE = {
    "host",
    "hostname",
    "node",
    "user",
    "username",
    "login",
    "home",
    "cwd",
    "patch",
    "diff",
    "executable",
}


def scrub(text: str) -> str:
    """`text` with every home folder written as `~`."""
    return _without_homes(text, lambda home: "~")


def mask(text: str) -> str:
    """`text` with a `~` for every byte of a home folder, so that what is known by its place stays there."""
    return _without_homes(text, lambda home: "~" * len(home.encode()))


def _without_homes(text: str, instead: Callable[[str], str]) -> str:
    home = str(Path.home())
    if len(home) > 1:
        text = re.sub(re.escape(home) + r"""(?=[/\\\s"':]|$)""", lambda found: instead(found[0]), text)
    return _HOMES.sub(lambda found: instead(found[0]), text)


def is_private(key: str) -> bool:
    """Whether a fact of this name stays out of a report."""
    return not _PRIVATE.isdisjoint(key.lower().split("_"))
