"""What a trial tells the runner while it works: lines of JSON for the live view, believed only in one of these forms.

    begun · progress, done, of · metrics, step or none, values by name · sample, step, text · note, text

A trial is somebody's program: what it writes where it should not is passed over, and ends nobody else's work.
"""

from __future__ import annotations

import json
from typing import Any

from ..safe_text import visible

Message = tuple[Any, ...]


def line_of(message: Message) -> bytes:
    return json.dumps(message).encode() + b"\n"


def message_of(line: bytes) -> Message | None:
    """The message in a line without its end, None where there is none."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    match data:
        case ["begun"] | ["progress", int(), int()]:
            return tuple(data)
        case ["sample", int(step), str(text)]:
            return "sample", step, visible(text)
        case ["note", str(text)]:
            return "note", visible(text)
        case ["metrics", int() | None, dict(values)]:
            return tuple(data) if all(isinstance(value, int | float) for value in values.values()) else None
    return None
