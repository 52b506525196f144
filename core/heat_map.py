"""A table of numbers to be seen in colours: what `Context.sample` keeps and a report draws. A leaf."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

MOST = 256  # rows, and columns
LARGEST = 1e100  # so that a difference of two is a number too

Ticks = tuple[tuple[int, str], ...]
Short = Annotated[float, AfterValidator(lambda x: float(f"{x:.3g}"))]


class HeatMap(BaseModel):
    """A position encoding by position and dimension, or attention by query and key.

    Maps of one title stand side by side, each with the variants that keep it.

    Attributes:
        title: a heading for the drawing.
        rows, columns: what there is one of in each row, in each column: `position`, `dimension`.
        values: row by row, from above; `tensor.tolist()` is one. Three digits of each are kept, which is more than an eye
            can tell.
        caption: tells a map from others of its title and its variant: `head 2`.
        range: what the ends of the colours mean; the least and the greatest value where it is left out. Around 0 where they
            have both signs.
        row_ticks, column_ticks: numbers of rows and columns, from 0, and what to write beside them; their numbers where
            these are left out.
    Raises ValueError: rows are of unequal length, there are none or more than `MOST`, a value is no finite number or outside
    of `range`, or a tick is at no row or column.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    rows: str
    columns: str
    values: tuple[tuple[Short, ...], ...]
    caption: str = ""
    range: tuple[Short, Short] | None = None
    row_ticks: Ticks = ()
    column_ticks: Ticks = ()

    @model_validator(mode="after")
    def _can_be_drawn(self) -> Self:
        sizes = len(self.values), len(self.values[0]) if self.values else 0
        if not all(0 < size <= MOST for size in sizes):
            raise ValueError(
                f"a heat map has 1 to {MOST} rows and as many columns, not {sizes[0]} x {sizes[1]}"
            )
        low, high = self.range or (-LARGEST, LARGEST)
        if not -LARGEST <= low < high <= LARGEST:
            raise ValueError(f"range: nothing lies between {low:g} and {high:g}")
        for number, row in enumerate(self.values):
            if len(row) != sizes[1]:
                raise ValueError(f"row {number} has {len(row)} values, and row 0 has {sizes[1]}")
            for column, value in enumerate(row):
                if not low <= value <= high:
                    why = "outside of the range" if self.range else "which has no colour"
                    raise ValueError(f"the value in row {number}, column {column} is {value:g}, {why}")
        for ticks, size in zip((self.row_ticks, self.column_ticks), sizes, strict=True):
            for at, text in ticks:
                if not 0 <= at < size:
                    raise ValueError(f"a tick at {at}, {text}, and there is only 0 to {size - 1}")
        return self
