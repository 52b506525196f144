"""The plain part of YAML: `yes` and `on` are words, `1:30` is text, `1e-3` is a number."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import yaml

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class PlainLoader(_Base):  # type: ignore[misc]  # the C loader where PyYAML was built with it
    """Resolves true/false, integers, floats and null; every other scalar is text."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}


def _resolves(kind: str, pattern: str, first: str) -> None:
    PlainLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{kind}", re.compile(rf"^(?:{pattern})$"), list(first)
    )


_resolves("bool", "true|True|false|False", "tTfF")
_resolves("null", "~|null|Null|", "~nN\0")
_resolves("int", r"[-+]?[0-9][0-9_]*", "-+0123456789")
_resolves(
    "float",
    r"[-+]?(?:[0-9][0-9_]*)?\.[0-9_]+(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*\.?(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?[0-9]+\.|[-+]?\.inf|\.nan",
    "-+0123456789.",
)
PlainLoader.yaml_implicit_resolvers.setdefault("", []).append(("tag:yaml.org,2002:null", re.compile("^$")))
