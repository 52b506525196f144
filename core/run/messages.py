"""Messages from a trial to the live view: lines of JSON, accepted in these forms only.

    begun · compiling, names of kernels · progress, done, of, what · metrics, step or none, values by name · sample, step, text · note, text

A trial is a user's program: anything else that it writes there is passed over.
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
        case ["begun"]:
            return tuple(data)
        case ["progress", int(done), int(of), str(what)]:
            return "progress", done, of, visible(what)
        case ["compiling", list(names)] if all(isinstance(name, str) for name in names):
            return "compiling", [visible(name) for name in names]
        case ["sample", int(step), str(text)]:
            return "sample", step, visible(text)
        case ["note", str(text)]:
            return "note", visible(text)
        case ["metrics", int() | None, dict(values)]:
            return tuple(data) if all(isinstance(value, int | float) for value in values.values()) else None
    return None
