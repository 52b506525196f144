"""A text as two tokenizers cut it: what `Context.sample` keeps and a report draws. A leaf."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator


class Cut(BaseModel):
    """The tokens of a text under one tokenizer.

    Attributes:
        name: the tokenizer's, or its model's.
        ends: the byte (in UTF-8) at which each token ends; a token without text ends where it begins.
        special: the names of the tokens without text, in their order.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    ends: tuple[int, ...]
    special: tuple[str, ...] = ()


class TwoCuts(BaseModel):
    """One text under two tokenizers, to be drawn one above the other.

    Attributes:
        title: a heading for the drawing.
        text: the whole text.
        above, below: the two tokenisations.
        spans: the bytes at which the aligned spans end. The first span begins with the text, each next one where the
            one before it ended; text behind the last span belongs to none.
    Raises ValueError: `ends` do not rise to the text's last byte, `special` does not name every token without
    text, or a span ends inside a token.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    text: str
    above: Cut
    below: Cut
    spans: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        size = len(self.text.encode())
        for cut in (self.above, self.below):
            ends = [0, *cut.ends]
            if ends != sorted(ends) or ends[-1] != size:
                raise ValueError(
                    f"the ends of {cut.name} do not go up from 0 to {size}, the bytes of the text"
                )
            silent = len(ends) - len(set(ends))
            if len(cut.special) != silent:
                raise ValueError(
                    f"{silent} tokens of {cut.name} write nothing and need as many names, not {len(cut.special)}"
                )
            unaligned = next((end for end in self.spans if end not in cut.ends), None)
            if unaligned is not None:
                raise ValueError(f"a span ends at byte {unaligned}, where {cut.name} has no token's end")
        if [0, *self.spans] != sorted({0, *self.spans}):
            raise ValueError(f"spans end one behind the other, not at {list(self.spans)}")
        return self
