"""The command `lab`: its sub-commands, one file for each, and its exit codes when something goes wrong."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from ..core.experiment.mistakes import Mistakes
from .claims import list_claims
from .compare import compare
from .completion import Completing
from .env import env
from .explain import explain
from .export import export
from .home import home as print_home
from .list import list_experiments
from .new import new
from .optional_value import WithResume
from .params import params
from .report import report
from .run import run
from .runs import runs_app
from .screen import err, out, use_streams
from .show import show
from .validate import validate
from .verify import verify

app = typer.Typer(
    name="lab",
    cls=Completing,
    help="Claims from machine-learning papers, tried on this machine.",
    epilog="run, show, params, validate and verify execute the Python file that an experiment names in its trial: line; "
    "read a stranger's file first. list, claims, runs, compare, explain, report and export execute nothing.",
    pretty_exceptions_enable=False,
    suggest_commands=False,  # click names the nearest one itself
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("run", cls=WithResume)(run)
app.command("compare")(compare)
app.command("explain")(explain)
app.command("report")(report)
app.command("export")(export)
app.command("verify")(verify)
app.command("list")(list_experiments)
app.command("claims")(list_claims)
app.command("show")(show)
app.command("params")(params)
app.add_typer(runs_app, name="runs")
app.command("env")(env)
app.command("validate")(validate)
app.command("new")(new)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        out().print(f"lab {version('paperlab')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def home(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version, and stop"),
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        print_home()


def main() -> None:
    """The console script. A user's mistake gets one line, never a traceback."""
    use_streams()
    os.environ.pop("MPLBACKEND", None)  # plots go into files; Jupyter names a backend that need not be here
    try:
        app()
        sys.stdout.flush()
    except Mistakes as mistakes:
        _print(mistakes)
        sys.exit(2)
    except BrokenPipeError:  # `lab list | head`: the reader has seen enough
        _drop_output()
        if sys.argv[1:2] == ["run"]:  # it ends with its reader, in the middle perhaps
            _print("nobody reads the output any more, so the run has ended. What is done is kept.")
            sys.exit(1)
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _print(f"{where}{error.strerror or error}. What is done is kept.")
        _drop_output()
        sys.exit(1)


def _drop_output() -> None:
    """Send what is still buffered to nowhere; at the end of the process it would raise."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _print(message: object) -> None:
    console = err()
    for line in str(message).splitlines():
        console.print(line, markup=False, soft_wrap=True)
