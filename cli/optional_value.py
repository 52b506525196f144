"""A command that has an option whose value may be left out, which neither Typer nor click can tell from the next argument."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand

ID = re.compile(r"(\d{8}T\d{6}Z-)?[a-hjkmnp-z]{4}")  # of a run: its letters or its folder's name


class WithResume(TyperCommand):
    """`--resume` takes the next word if that looks like a run, `--resume=X` takes X, and alone it has no value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        given: list[str] = []
        words = iter(args)
        for word in words:
            if word == "--":
                given += [word, *words]
            elif given and given[-1] == "--resume":
                is_id = ID.fullmatch(word) is not None
                given[-1:] = [f"--resume={word}"] if is_id else ["--resume=", word]
            else:
                given.append(word)
        if given and given[-1] == "--resume":
            given[-1] = "--resume="
        return super().parse_args(ctx, given)
