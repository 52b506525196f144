"""A text as two tokenizers cut it: boxes in two rows over one common width, and the spans that are compared as one.

What the rows have in common is the bytes of the text, so every byte has a width, and a token is as wide as its bytes:
boundaries that both have stand one above the other. A piece is what no line may be broken inside: a span or, outside of
all spans, what lies between two common boundaries.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..safe_text import one_line
from ..trial import Cut, TwoCuts
from .privacy import mask

WIDTH = 96  # columns of plain text
SIGNS = {" ": "␣", "\n": "↵", "\t": "⇥", "\x7f": "␡"}


@dataclass(frozen=True)
class Token:
    """A token and the bytes of the text that it writes, from `begin` on; one that writes none has a name, `special`."""

    begin: int
    writes: bytes
    special: str = ""

    @property
    def end(self) -> int:
        return self.begin + len(self.writes)

    @property
    def is_bytes(self) -> bool:
        """Whether it writes parts of a character, or one that cannot be seen by itself."""
        try:
            text = self.writes.decode()
        except UnicodeDecodeError:
            return True
        return not text.isascii() and (not text.isprintable() or unicodedata.category(text[0])[0] == "M")

    @property
    def signs(self) -> str:
        """Its name or its characters, a space as ␣; the bytes in hex that are no characters."""
        if self.special or self.is_bytes:
            return self.special or "".join(
                f"{byte:02X}" if byte > 127 else _sign(chr(byte)) for byte in self.writes
            )
        return "".join(map(_sign, self.writes.decode()))

    @property
    def hex(self) -> str:
        """Of characters outside of ASCII the bytes: what looks alike is told apart by them."""
        return "" if self.is_bytes else "".join(f"{byte:02X}" for byte in self.writes if byte > 127)

    @property
    def plain(self) -> str:
        """In ASCII and ␣: `na\\xC3\\xAFve␣`."""
        return self.special or "".join(map(_plain, self.writes))


@dataclass(frozen=True)
class Box:
    """A token in its place, `columns` wide from column `at` of its piece on; the first is 0."""

    token: Token
    at: int
    columns: int


@dataclass(frozen=True)
class Piece:
    """Both rows of a part of the text, and the number of the span that it is; None outside of all spans."""

    span: int | None
    columns: int
    rows: tuple[list[Box], list[Box]]


@dataclass(frozen=True)
class Drawing:
    """All that the templates say of two cuts.

    Attributes:
        of: the variants that keep it; empty where all do.
        above, below: `teacher, 12 tokens`.
        spans: how many there are.
        pieces: in columns of the page.
        plain: the drawing as lines of text.
        words: the pieces one by one for who hears the page, `kat | k a t; o␣ | o ␣`.
    """

    title: str
    of: str
    above: str
    below: str
    spans: int
    pieces: list[Piece]
    plain: str
    words: str


def drawing(cuts: TwoCuts, of: str = "") -> Drawing:
    """Home folders in the text are made unreadable."""
    for_page = pieces(cuts, lambda byte: 1 if byte < 128 else 2)  # two digits of hex take two columns
    said = (" | ".join(" ".join(box.token.plain for box in row) for row in piece.rows) for piece in for_page)
    return Drawing(
        title=cuts.title,
        of=of,
        above=f"{cuts.above.name}, {len(cuts.above.ends)} tokens",
        below=f"{cuts.below.name}, {len(cuts.below.ends)} tokens",
        spans=len(cuts.spans),
        pieces=for_page,
        plain="\n\n".join(map(_lines, _fitting(pieces(cuts, lambda byte: len(_plain(byte)), edge=1)))),
        words="; ".join(said),
    )


def pieces(cuts: TwoCuts, wide: Callable[[int], int], edge: int = 0) -> list[Piece]:
    """A text in pieces, from left to right.

    Args:
        wide: columns of a byte.
        edge: columns that each token's left edge takes besides.
    """
    text = mask(cuts.text).encode()
    covered = max(cuts.spans, default=0)
    common = {*cuts.above.ends} & {*cuts.below.ends}
    breaks = sorted({0, *cuts.spans, *(at for at in common if at > covered)})
    # Between two breaks there is text; at a break, tokens that write nothing and belong to neither side of it.
    slots: dict[tuple[int, int], tuple[list[Token], list[Token]]] = {(0, 0): ([], [])}
    for begin, end in pairwise(breaks):
        slots[begin, end] = [], []
        slots[end, end] = [], []
    for row, cut in enumerate((cuts.above, cuts.below)):
        for token in _tokens(cut, text):
            if (token.begin, token.end) in slots and not token.writes:
                slots[token.begin, token.end][row].append(token)
            else:
                after = bisect(breaks, token.begin)
                slots[breaks[after - 1], breaks[after]][row].append(token)
    numbers = {end: number for number, end in enumerate(cuts.spans)}
    return [
        _piece(numbers.get(end) if begin < end else None, text, begin, end, rows, wide, edge)
        for (begin, end), rows in slots.items()
        if any(rows)
    ]


def _tokens(cut: Cut, text: bytes) -> Iterator[Token]:
    names = iter(cut.special)
    for begin, end in pairwise((0, *cut.ends)):
        yield Token(begin, text[begin:end], "" if end > begin else one_line(next(names)))


def _piece(
    span: int | None,
    text: bytes,
    begin: int,
    end: int,
    rows: tuple[list[Token], list[Token]],
    wide: Callable[[int], int],
    edge: int,
) -> Piece:
    """Every byte from `begin` to `end` gets its column, and tokens that write nothing room between two bytes."""
    boundaries = {token.begin for row in rows for token in row if token.writes}
    before, behind = {}, {}  # the column at which a byte stands, before and behind such tokens
    column = 0
    for at in range(begin, end + 1):
        before[at] = column
        column += max(
            sum(edge + len(token.special) for token in row if token.begin == at and not token.writes)
            for row in rows
        )
        behind[at] = column
        if at < end:
            column += wide(text[at]) + edge * (at in boundaries)
    return Piece(span, column, (_boxes(rows[0], before, behind, edge), _boxes(rows[1], before, behind, edge)))


def _boxes(row: Sequence[Token], before: dict[int, int], behind: dict[int, int], edge: int) -> list[Box]:
    found: list[Box] = []
    for token in row:
        if token.writes:
            at, columns = behind[token.begin], before[token.end] - behind[token.begin]
        else:
            last = found[-1] if found else None
            again = last is not None and not last.token.writes and last.token.begin == token.begin
            at = last.at + last.columns if last is not None and again else before[token.begin]
            columns = edge + len(token.special)
        found.append(Box(token, at, columns))
    return found


def _fitting(found: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Pieces that fit side by side; one that fits nowhere has a line of its own."""
    line: list[Piece] = []
    for piece in found:
        if line and sum(each.columns for each in [*line, piece]) >= WIDTH:
            yield line
            line = []
        line.append(piece)
    yield line


def _lines(line: Sequence[Piece]) -> str:
    """
    │kat  │o␣ │
    ├─────┼───┤
    │k│a│t│o│␣│
    """
    size = sum(piece.columns for piece in line) + 1
    above, between, below = ([" "] * size for _ in range(3))
    start = 0
    for piece in line:
        for row, boxes in zip((above, below), piece.rows, strict=True):
            for box in boxes:
                at, end = start + box.at, start + box.at + box.columns
                row[at : end + 1] = "│" + box.token.plain.ljust(box.columns - 1) + "│"
        if piece.span is not None:
            between[start] = "┼" if between[start] == "┤" else "├"
            between[start + 1 : start + piece.columns] = "─" * (piece.columns - 1)
            between[start + piece.columns] = "┤"
        start += piece.columns
    return "\n".join("".join(row).rstrip() for row in (above, between, below))


def _sign(character: str) -> str:
    """Of what has none: Unicode has pictures of the characters below 32, one after the other."""
    if character in SIGNS:
        return SIGNS[character]
    return chr(0x2400 + ord(character)) if ord(character) < 32 else character


def _plain(byte: int) -> str:
    if byte == ord(" "):
        return "␣"
    if byte == ord("\\"):
        return r"\\"
    return chr(byte) if 32 < byte < 127 else rf"\x{byte:02X}"
