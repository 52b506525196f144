"""The tables in docs/ agree with the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

ROOT = Path(__file__).parents[1]


def rows(page: str, first: str) -> list[list[str]]:
    """The cells of a table whose header begins with `first`."""
    text = (ROOT / "docs" / page).read_text()
    lines = text[text.index(f"| {first} |") :].partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in (lines[0], *lines[2:])]


def test_the_table_of_backends() -> None:
    from lab.core.attention.arguments import EVERYTHING, FORWARD_MODE, MASK_GRADIENT, TOP_LEFT
    from lab.core.attention.registry import BACKENDS

    options = {
        "window, ALiBi, soft cap": {"window_size", "alibi_slopes", "softcap"},
        "sink, dropout by seed": {"sink", "dropout_p", "dropout_seed"},
        "log-sum-exp, top-left": {"return_lse", TOP_LEFT},
        "gradient of a mask": {MASK_GRADIENT},
        "forward mode": {FORWARD_MODE},
    }
    assert frozenset().union(*options.values()) == EVERYTHING, "an option has no column"
    (_, *header), *found = rows("attention.md", "backend")
    assert sorted(name.split("`")[1] for name, *_ in found) == sorted(BACKENDS)
    for name, *cells in found:
        backend = BACKENDS[name.split("`")[1]]
        for heading, wanted in options.items():
            said = dict(zip(header, cells, strict=True))[heading]
            expected = "yes" if wanted <= backend.has else "… only" if wanted & backend.has else ""
            assert re.sub(r".+ only", "… only", said) == expected, f"{name}, {heading}"


def exit_codes() -> Iterator[int]:
    """The whole numbers with which a command ends: given to `Exit`, `exit` or `stop`, or returned to `Exit`."""
    returned = "perform", "_perform", "_finish", "exit_code"
    for path in (ROOT / "cli").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            found: list[ast.expr] = []
            if isinstance(node, ast.Call) and re.search(r"(^|\.)(Exit|exit|stop)$", ast.unparse(node.func)):
                found = [*node.args, *(word.value for word in node.keywords if word.arg == "code")]
            elif isinstance(node, ast.FunctionDef) and node.name == "stop":
                found = node.args.defaults
            elif isinstance(node, ast.FunctionDef) and node.name in returned:
                inside = (each.value for each in ast.walk(node) if isinstance(each, ast.Return))
                found = [part for value in inside if value for part in ast.walk(value)]
            for each in found:
                if isinstance(each, ast.Constant) and type(each.value) is int:
                    yield each.value


def test_the_table_of_exit_codes() -> None:
    assert {int(code) for code, _ in rows("commands.md", "exit code")[1:]} == set(exit_codes())


def test_the_table_of_commands() -> None:
    from lab.cli.app import app

    commands = {}
    for name, command in typer.main.get_command(app).commands.items():  # of a group what is in it
        commands |= (
            {f"{name} {sub}": each for sub, each in command.commands.items()}
            if hasattr(command, "commands")
            else {name: command}
        )
    table, known = (
        ["| command | arguments | options |", "|-|-|-|"],
        {"--help", "--version", "--install-completion"},
    )
    for name, command in commands.items():
        options = [param.opts for param in command.params if param.param_type_name == "option"]
        arguments = [
            param.name.upper() if param.required else f"[{param.name.upper()}]"
            for param in command.params
            if param.param_type_name == "argument"
        ]
        known |= {each for opts in options for each in opts}
        said = " ".join(f"`{', '.join(sorted(opts))}`" for opts in options)
        table.append(f"| `{name}` | {' '.join(arguments)} | {said} |")
    page = (ROOT / "docs" / "commands.md").read_text()
    assert "\n".join(table) in page, "paste this into docs/commands.md:\n" + "\n".join(table)
    assert set(re.findall(r"(?<!\w)--[a-z][a-z-]*", page)) <= known


def test_the_example_of_on_policy_distillation() -> None:
    page = (ROOT / "docs" / "kd.md").read_text()
    [example] = re.findall(r"```python\n(.+?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(example, names)
    assert names["told"]["kl"] == names["kl"][-1] < 0.5 * names["kl"][0]
