"""The command `lab`: its sub-commands, one file for each group, and what happens when something goes wrong."""

from __future__ import annotations

import os
import sys

import typer

from ..core.experiment.mistakes import Mistakes
from . import authoring, browsing, comparing, reporting, running, verifying
from .screen import err, use_streams

app = typer.Typer(
    name="lab",
    help="Claims from machine-learning papers, tried on this machine.",
    epilog="run, show, validate, verify and compare execute the Python file that an experiment names in its trial: line; "
    "read a stranger's file first. list, claims, runs and report execute nothing.",
    pretty_exceptions_enable=False,
    suggest_commands=False,  # click names the nearest one itself
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("run")(running.run)
app.command("compare")(comparing.compare)
app.command("report")(reporting.report)
app.command("verify")(verifying.verify)
app.command("list")(browsing.list_experiments)
app.command("claims")(browsing.list_claims)
app.command("show")(browsing.show)
app.command("runs")(browsing.list_runs)
app.command("env")(browsing.env)
app.command("validate")(authoring.validate)
app.command("new")(authoring.new)


@app.callback(invoke_without_command=True)
def home(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        browsing.home()


def main() -> None:
    """The console script. A person's mistake is told in one line, never as a traceback."""
    use_streams()
    os.environ.pop("MPLBACKEND", None)  # plots go into files; Jupyter names a backend that need not be here
    try:
        app()
        sys.stdout.flush()
    except Mistakes as mistakes:
        _tell(mistakes)
        sys.exit(2)
    except BrokenPipeError:  # `lab list | head`: the reader has seen enough
        _hush()
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _tell(f"{where}{error.strerror or error}. What is done is kept.")
        _hush()
        sys.exit(1)


def _hush() -> None:
    """What is still to be written has nowhere to go: at the end of the process that would be a traceback."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _tell(message: object) -> None:
    console = err()
    for line in str(message).splitlines():
        console.print(line, markup=False, soft_wrap=True)
