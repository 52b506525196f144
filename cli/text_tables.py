"""The same cells as on the screen, as text to paste elsewhere: Markdown and LaTeX."""

from __future__ import annotations

IN_LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}"}
)


def markdown(title: str, names: list[str], right: list[bool], rows: list[list[str]]) -> str:
    """A pipe table; `right` says which columns are set right."""
    lines = [f"**{title}**", ""] if title else []
    lines.append("| " + " | ".join(names) + " |")
    lines.append("|" + "|".join("-:" if flag else ":-" for flag in right) + "|")
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n\n"


def latex(title: str, names: list[str], right: list[bool], rows: list[list[str]]) -> str:
    """A tabular with booktabs rules."""

    def safe(text: str) -> str:
        return text.translate(IN_LATEX)

    lines = [
        f"% {title}",
        "\\begin{tabular}{" + "".join("r" if flag else "l" for flag in right) + "}",
        "\\toprule",
    ]
    lines.append(" & ".join(map(safe, names)) + " \\\\")
    lines += [
        "\\midrule",
        *(" & ".join(map(safe, row)) + " \\\\" for row in rows),
        "\\bottomrule",
        "\\end{tabular}",
    ]
    return "\n".join(lines) + "\n\n"
