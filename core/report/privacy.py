"""What a report must not give away: where the user's files lie, and who and which machine that is."""

from __future__ import annotations

import re
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
    home = str(Path.home())
    if len(home) > 1:
        text = re.sub(re.escape(home) + r"""(?=[/\\\s"':]|$)""", "~", text)
    return _HOMES.sub("~", text)


def is_private(key: str) -> bool:
    """Whether a fact of this name stays out of a report."""
    return not _PRIVATE.isdisjoint(key.lower().split("_"))
