"""The parameters of `lab run bitter-text`. Importing this costs no torch."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from ...trial import Params as _Params


class Params(_Params):
    """A model of the next character, and what it learns from."""

    model: Literal["ngram", "transformer"] = "ngram"
    """ngram: counts, with Witten and Bell's share for what has not been seen; transformer: of lab.core.lm."""
    characters: int = Field(100_000, ge=1000)
    """To learn from, of files that are drawn by the seed."""
    order: int = Field(6, ge=1, le=9)
    """Of ngram: a character and the order − 1 before it."""
    steps: int = Field(160, ge=1)
    """Of transformer: updates, each on `batch` pieces of `length` characters."""
    batch: int = Field(32, ge=1)
    """Pieces of text in a step of the transformer."""
    length: int = Field(128, ge=4)
    """Characters of a piece; a character is judged with half as many before it, or more."""
    d_model: int = Field(64, ge=8)
    """Width of the transformer."""
    layers: int = Field(2, ge=1)
    """Its blocks."""
    heads: int = Field(4, ge=1)
    """Its heads."""
    test_files: int = Field(16, ge=1)
    """Files of which nothing is learnt."""
    test_characters: int = Field(4096, ge=64)
    """Judged of each of them, at most."""
    first_seed: int = Field(0, ge=0)
    """Added to every seed."""

    @model_validator(mode="after")
    def _has_pieces(self) -> Self:
        if self.characters < 2 * self.length:
            raise ValueError(f"{self.characters} characters are no two pieces of length {self.length}")
        return self
