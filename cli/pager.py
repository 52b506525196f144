"""What is longer than the terminal is read in a pager, as git does: $PAGER, else less."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from typer import echo_via_pager


@contextmanager
def paged(screen: Console) -> Iterator[Console]:
    """Prints of the block: as they are where they fit on the terminal, or go elsewhere; else in the pager."""
    if not (screen.is_terminal and sys.stdin.isatty()):
        yield screen
        return
    with screen.capture() as captured:
        yield screen
    text = captured.get()
    if text.count("\n") < screen.height:
        sys.stdout.write(text)
    else:
        echo_via_pager(text)  # with colours where the pager shows them
