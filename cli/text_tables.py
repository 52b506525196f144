"""The same cells as on the screen, as text to paste elsewhere: Markdown and LaTeX."""

from __future__ import annotations

from ..core.safe_text import in_latex, in_markdown, one_line


def markdown(title: str, names: list[str], right: list[bool], rows: list[list[str]]) -> str:
    """A pipe table; `right` says which columns are set right."""
    lines = [f"**{in_markdown(title)}**", ""] if title else []
    lines.append("| " + " | ".join(map(in_markdown, names)) + " |")
    lines.append("|" + "|".join("-:" if flag else ":-" for flag in right) + "|")
    lines += ["| " + " | ".join(map(in_markdown, row)) + " |" for row in rows]
    return "\n".join(lines) + "\n\n"


def latex(title: str, names: list[str], right: list[bool], rows: list[list[str]]) -> str:
    """A tabular with booktabs rules."""
    lines = [
        f"% {one_line(title)}",
        "\\begin{tabular}{" + "".join("r" if flag else "l" for flag in right) + "}",
        "\\toprule",
    ]
    lines.append(" & ".join(map(in_latex, names)) + " \\\\")
    lines += [
        "\\midrule",
        *(" & ".join(map(in_latex, row)) + " \\\\" for row in rows),
        "\\bottomrule",
        "\\end{tabular}",
    ]
    return "\n".join(lines) + "\n\n"
