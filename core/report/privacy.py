"""Removes from a report what identifies the user: folders, names, the machine, secrets."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

_HOMES = re.compile(r"""(/home|/Users|[A-Za-z]:\\Users)[/\\][^/\\\s"'<>|:]+|/root(?=[/\s"':]|$)""")
_NAMED = re.compile(  # a secret by the name of what it is given to: -s api_key=…, --token …
    r"""((?:^|[\s'"?&.-])[\w.-]*?(?:token|secret|password|passwd|api[_-]?key|credential)[\w-]*(?:=|\s+|:\s*))"""
    r"""('[^']*'|"[^"]*"|[^\s'"&]+)""",
    re.IGNORECASE,
)
_FORMS = re.compile(  # or by its own form
    r"\b(?:hf_|sk-|ghp_|gho_|github_pat_|glpat-|xox[abpr]-|AKIA|AIza|eyJ[\w-]{8,}\.)[\w.-]{8,}|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
)
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
    """`text` with every home folder written as `~`, and what has the form of a token or a password as `***`."""
    return _FORMS.sub("***", _without_homes(text, lambda home: "~"))


def command_without_secrets(command: str) -> str:
    """A command line to show: whatever is called a token, a key or a password is left out of it."""
    return _NAMED.sub(r"\1***", scrub(command))


def mask(text: str) -> str:
    """`text` with a `~` for every byte of a home folder, so that what is known by its place stays there."""
    return _without_homes(text, lambda home: "~" * len(home.encode()))


def _without_homes(text: str, instead: Callable[[str], str]) -> str:
    if "/" not in text and "\\" not in text:  # most texts of a report, by the thousand
        return text
    home = _home()
    if len(home) > 1:
        text = re.sub(re.escape(home) + r"""(?=[/\\\s"':]|$)""", lambda found: instead(found[0]), text)
    return _HOMES.sub(lambda found: instead(found[0]), text)


def _home() -> str:
    try:
        return str(Path.home())
    except RuntimeError:  # a user without a name and without $HOME
        return ""


def is_private(key: str) -> bool:
    """Whether a fact of this name stays out of a report."""
    return not _PRIVATE.isdisjoint(key.lower().split("_"))
