"""One sentence in two models' tokens, and the spans that these have in common, for the report to draw."""

from __future__ import annotations

from ...trial import Cut, TwoCuts
from ..losses.cross_tokenizer import Tokens, align
from .tokenizers import Side

LONGEST = 72
"""Characters that are drawn."""


def drawn(student: Side, teacher: Side, text: str, longest: int = LONGEST) -> TwoCuts:
    """The teacher's tokens above, the student's below; the text is cut at a space."""
    if len(text) > longest:
        text = text[: text.rfind(" ", 0, longest) + 1] or text[:longest]
    ours, theirs = student.tokens(text), teacher.tokens(text)
    return TwoCuts(
        title="One sentence, cut twice",
        text=text,
        above=_cut("the teacher's tokens", theirs),
        below=_cut("the student's", ours),
        spans=tuple(span.end for span in align(ours, theirs)),
    )


def _cut(name: str, tokens: Tokens) -> Cut:
    silent = sum(begin == end for begin, end in zip((0, *tokens.ends), tokens.ends, strict=False))
    return Cut(name=name, ends=tokens.ends, special=("<>",) * silent)
