"""Text of others where some characters mean something."""

from __future__ import annotations

import csv
import io
import re

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.core.safe_text import csv_of, in_latex, in_markdown, one_line, visible

SIGNS = st.text(st.sampled_from("\\`*_{}[]()<>#|~&$!+-=.:;'\"^%1a \n\r\t\x1b\x07\x7f\x9b\u2028\u202e\ud800é"))


@settings(deadline=None)
@given(st.text() | SIGNS)
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    for character in visible(text):
        assert character in "\n\t" or not ("\x00" <= character < " " or "\x7f" <= character < "\xa0")
    visible(text).encode()


def test_what_is_harmless_stays() -> None:
    assert visible("a\tb\né ␛ 一 🙂") == "a\tb\né ␛ 一 🙂"
    assert visible("\x1b]0;x\x07\x9b31m\x7f") == "␛]0;x␇\ufffd31m␡"


@settings(deadline=None)
@given(SIGNS)
def test_markdown_reads_back_as_it_was(text: str) -> None:
    from markdown_it import MarkdownIt

    plain, written = one_line(text), in_markdown(text)
    parser = MarkdownIt("commonmark").enable("table")
    table = parser.parse(f"| a | b |\n|-|-|\n| {written} | x |\n")
    cells = [token for token in table if token.type == "inline"]
    assert len(cells) == 4
    for inline in (cells[2], *parser.parse(written)[1:2]):
        assert "".join(part.content for part in inline.children or ()) == plain
        assert all(part.type in ("text", "text_special") for part in inline.children or ())


@settings(deadline=None)
@given(SIGNS)
def test_latex_has_no_sign_that_is_not_escaped(text: str) -> None:
    rest = re.sub(
        r"\\text(backslash|asciitilde|asciicircum|less|greater|bar)\{\}|\\[&%$#_{}]", "", in_latex(text)
    )
    assert not set(rest) & set("\\&%$#_{}~^<>|\n\r")


@pytest.mark.parametrize("cell", ["=cmd|' /C calc'!A0", "+1+cmd()", "-2+3+cmd|x", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(cell: str) -> None:
    written = csv_of(pd.DataFrame({cell: [cell, "-0.3 [-0.4, -0.2]"], "x": [-1.5, 2.0], "n": [-1, 1]}))
    head, first, second = csv.reader(io.StringIO(written, newline=""))
    assert head[0] == first[0] == f"'{cell}".replace("\r", "\n")
    assert first[1:] == ["-1.5", "-1"] and second == ["-0.3 [-0.4, -0.2]", "2.0", "1"]
