"""Spans of time as people type them: 90s, 20m, 1h30m, 30d."""

from __future__ import annotations

import re

from .screen import stop

SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds_of(text: str, option: str) -> float:
    """The seconds of a span that an option was given; ends the command where it is none."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
    seconds = sum(float(number) * SECONDS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or not 0 < seconds < 1e9:
        stop(f"{option} {text}: a span of time, as 90s, 20m, 1h or 30d")
    return seconds
