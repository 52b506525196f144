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
        for index, word in enumerate(args):
            if word == "--":
                given += args[index:]
                break
            if given and given[-1] == "--resume=" and ID.fullmatch(word):
                given[-1] += word
            else:
                given.append("--resume=" if word == "--resume" else word)
        return super().parse_args(ctx, given)
