"""One sentence in two models' tokens and their common spans, for the report to draw."""

from __future__ import annotations

from ...trial import Cut, TwoCuts
from ..losses.cross_tokenizer import Tokens, align
from .tokenizers import Tokenizer

LONGEST = 72
"""Characters of the sentence."""


def two_tokenizations(student: Tokenizer, teacher: Tokenizer, text: str, longest: int = LONGEST) -> TwoCuts:
    """The teacher's tokens above, the student's below; a long text is cut at its last space before `longest`."""
    if len(text) > longest:
        text = text[: text.rfind(" ", 0, longest) + 1] or text[:longest]
    of_student, of_teacher = student.tokens(text), teacher.tokens(text)
    return TwoCuts(
        title="One sentence, cut twice",
        text=text,
        above=_cut("the teacher's tokens", of_teacher),
        below=_cut("the student's", of_student),
        spans=tuple(span.end for span in align(of_student, of_teacher)),
    )


def _cut(name: str, tokens: Tokens) -> Cut:
    silent = sum(begin == end for begin, end in zip((0, *tokens.ends), tokens.ends, strict=False))
    return Cut(name=name, ends=tokens.ends, special=("<>",) * silent)
