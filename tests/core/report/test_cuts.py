"""A text cut twice: what a trial hands over, what stands in its records, and what the report draws of it."""

from __future__ import annotations

import re
from itertools import accumulate
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lab.core.report.cuts import WIDTH, Piece, drawing, pieces
from lab.core.report.page import write_report
from lab.core.run.context import TrialContext
from lab.core.run.files import read_lines
from lab.core.run.plan import key_of
from lab.core.run.trial_rows import _samples_in, samples_of
from lab.core.trial import Cut, TwoCuts

from .test_page import Reader, page


def cut(name: str, *tokens: bytes, special: tuple[str, ...] = ()) -> Cut:
    return Cut(name=name, ends=tuple(accumulate(map(len, tokens))), special=special)


def two(
    above: list[bytes],
    below: list[bytes],
    spans: tuple[int, ...] | None = None,
    special: tuple[tuple[str, ...], tuple[str, ...]] = ((), ()),
) -> TwoCuts:
    """Spans at all common ends, where no others are given."""
    a, b = cut("teacher", *above, special=special[0]), cut("student", *below, special=special[1])
    common = sorted({*a.ends} & {*b.ends} - {0})
    text = b"".join(above).decode()
    return TwoCuts(
        title="Twice", text=text, above=a, below=b, spans=tuple(common) if spans is None else spans
    )


def by_bytes(cuts: TwoCuts) -> list[Piece]:
    return pieces(cuts, lambda byte: 1 if byte < 128 else 2)


KATO = two([b"kat", b"o "], [b"k", b"a", b"t", b"o", b" "])
EMOJI = two(
    [b"", "é".encode(), " 😀".encode()],
    [b"\xc3", b"\xa9", b" ", b"\xf0", b"\x9f", b"\x98\x80", b""],
    special=(("<s>",), ("</s>",)),
)


def test_plain_text_of_a_text_cut_twice() -> None:
    assert drawing(KATO).plain.splitlines() == ["│kat  │o␣ │", "├─────┼───┤", "│k│a│t│o│␣│"]
    assert drawing(EMOJI).plain.splitlines() == [
        "│<s>│\\xC3\\xA9 │␣\\xF0\\x9F\\x98\\x80   │",
        "    ├─────────┼" + "─" * 20 + "┤",
        "    │\\xC3│\\xA9│␣│\\xF0│\\x9F│\\x98\\x80│</s>│",
    ]
    assert drawing(KATO).words == "kat | k a t; o␣ | o ␣"


def test_what_a_token_looks_like() -> None:
    tokens = [box.token for piece in by_bytes(EMOJI) for row in piece.rows for box in row]
    shown = [(token.signs, token.hex, token.is_bytes) for token in tokens]
    assert shown[0] == ("<s>", "", False)
    assert shown[1:4] == [("é", "C3A9", False), ("C3", "", True), ("A9", "", True)]
    assert shown[4] == ("␣😀", "F09F9880", False) and shown[-2] == ("9880", "", True)
    alone = two([b"x", "\u0301".encode(), "\u200d\n".encode()], ["x\u0301\u200d\n".encode()])
    assert [box.token.signs for box in by_bytes(alone)[0].rows[0]] == ["x", "CC81", "E2808D↵"]


def test_a_name_between_two_tokens_of_a_span_makes_room_in_both_rows() -> None:
    cuts = two([b"a", b"", b"b", b"c"], [b"ab", b"c"], spans=(2, 3), special=(("<x>",), ()))
    assert drawing(cuts).plain.splitlines() == ["│a│<x>│b│c│", "├───────┼─┤", "│ab     │c│"]
    inside = two(
        [b"a", b"", b"b"], [b"a", b"b"], spans=(2,), special=(("<x>",), ())
    )  # a common end, of no span
    assert drawing(inside).plain.splitlines() == ["│a│<x>│b│", "├───────┤", "│a│   │b│"]


def test_what_follows_the_last_span_belongs_to_none() -> None:
    found = by_bytes(two([b"a ", b"bc", b"d"], [b"a", b" ", b"b", b"c", b"d"], spans=(2,)))
    assert [(piece.span, piece.columns) for piece in found] == [(0, 2), (None, 2), (None, 1)]


@st.composite
def texts(draw: st.DrawFn) -> TwoCuts:
    text = draw(st.text(min_size=0, max_size=12))
    raw = text.encode()

    def one(name: str) -> Cut:
        ends = draw(st.lists(st.integers(0, len(raw)), max_size=10))
        ends = sorted([*ends, len(raw)] if raw or ends else [])
        silent = len([0, *ends]) - len({0, *ends})
        return Cut(name=name, ends=ends, special=["<s>"] * silent)

    a, b = one("a"), one("b")
    common = sorted({*a.ends} & {*b.ends} - {0})
    spans = [end for end in common if draw(st.booleans())]
    return TwoCuts(title="t", text=text, above=a, below=b, spans=spans)


@given(texts())
def test_boxes_fill_both_rows_and_common_boundaries_stand_one_above_the_other(cuts: TwoCuts) -> None:
    found = by_bytes(cuts)
    starts = list(accumulate((piece.columns for piece in found), initial=0))
    places: list[dict[int, set[int]]] = []
    for row, own in enumerate((cuts.above, cuts.below)):
        boxes = [(start, box) for start, piece in zip(starts, found, strict=False) for box in piece.rows[row]]
        assert [box.token.end for _, box in boxes] == list(own.ends)
        assert b"".join(box.token.writes for _, box in boxes).decode() == cuts.text
        edges = [(start + box.at, start + box.at + box.columns) for start, box in boxes]
        assert all(end <= begin for (_, end), (begin, _) in zip(edges, edges[1:], strict=False))
        for (_, box), (begin, end) in zip(boxes, edges, strict=True):
            assert 0 <= begin < end <= starts[-1]
            # No box is narrower than its sign in hex, two digits a byte, or its letters.
            written = sum(1 if byte < 128 else 2 for byte in box.token.writes)
            assert end - begin >= max(written, len(box.token.special))
        places.append({})
        for (_, box), (_, end) in zip(boxes, edges, strict=True):
            if box.token.writes:
                places[row].setdefault(box.token.end, set()).add(end)
    for end in places[0].keys() & places[1].keys():
        assert places[0][end] == places[1][end]
    assert [piece.span for piece in found if piece.span is not None] == list(range(len(cuts.spans)))


@given(texts())
def test_lines_of_plain_text_lose_no_token(cuts: TwoCuts) -> None:
    drawn = drawing(cuts)
    lines = drawn.plain.split("\n")
    for row, own in ((0, cuts.above), (2, cuts.below)):
        assert "".join(lines[row::4]).count("│") >= len(own.ends)


def test_long_texts_are_broken_between_spans_only() -> None:
    word = [b"kat", b"o "]
    blocks = drawing(two(word * 40, [bytes([byte]) for byte in b"kato " * 40])).plain.split("\n\n")
    assert len(blocks) > 2
    for block in blocks:
        above, between, below = block.split("\n")
        assert len(above) == len(between) == len(below) <= WIDTH
        assert between[0] == "├" and between[-1] == "┤" and above[0] == below[0] == "│"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": "kato"}, "the ends of teacher do not go up from 0 to 4"),
        ({"above": Cut(name="teacher", ends=(3, 2, 5))}, "do not go up from 0 to 5"),
        ({"above": Cut(name="teacher", ends=(0, 5))}, "1 tokens of teacher write nothing and need as many names, not 0"),
        ({"spans": (4, 5)}, "a span ends at byte 4, where teacher has no token's end"),
        ({"spans": (5, 3)}, "spans end one behind the other"),
        ({"spans": (5, 5)}, "spans end one behind the other"),
    ],
)  # fmt: skip
def test_what_is_no_text_cut_twice_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TwoCuts(**{name: getattr(KATO, name) for name in TwoCuts.model_fields} | changes)


def test_records_give_back_what_was_kept_and_a_damaged_line_is_skipped(tmp_path: Path) -> None:
    messages: list[Any] = []
    context = TrialContext("a", 0, "cpu", 1, tmp_path, tmp_path, messages.append)
    strange = two(["\u2028\x85".encode(), b"</script><b>"], ["\u2028\x85</script><b>".encode()])
    context.sample(0, "w = [1]")
    context.sample(0, EMOJI)
    with (tmp_path / "records.jsonl").open("a") as file:
        file.write('{"step": 0, "sample": {"title": "Twice", "text": "ab"}}\n')
        file.write(
            '{"step": 0, "sample": {"title": "Twice", "text": "ab", "above": {"name": "a", "ends": [9]},'
        )
        file.write(
            ' "below": {"name": "b", "ends": [2]}}}\n{"step": 0, "sample": 3}\n{"sample": "no step"}\n{"step": 0, "sam'
        )
    context.sample(0, strange)
    assert list(_samples_in(read_lines(tmp_path / "records.jsonl"))) == [
        (0, "w = [1]"),
        (0, EMOJI),
        (0, strange),
    ]
    assert messages == [("sample", 0, "w = [1]")]


def test_what_several_variants_keep_is_one_drawing_of_all_of_them(trained: Any, tmp_path: Path) -> None:
    trials = [
        {"kind": "train", "variant": variant, "point": {}, "replicate": seed}
        for seed in (0, 1)
        for variant in ("random", "reward")
    ]
    for trial in trials:
        folder = tmp_path / key_of("train", trial["variant"], {}, trial["replicate"])
        folder.mkdir()
        context = TrialContext(trial["variant"], trial["replicate"], "cpu", 1, folder, folder)
        context.sample(0, KATO)
        context.sample(0, KATO)  # once more, behind a checkpoint
        if trial["variant"] == "reward":
            context.sample(0, EMOJI)
        context.sample(5, f"seed {trial['replicate']}")
    run: Any = SimpleNamespace(of=lambda key: tmp_path / key)
    samples, cuts = samples_of(trained.experiment, run, trials)
    assert samples == {"reward": [(5, "seed 0")], "random": [(5, "seed 0")]}
    assert cuts == {KATO: ["reward", "random"], EMOJI: ["reward"]}


def test_the_page_draws_it(trained: Any, tmp_path: Path) -> None:
    evil = two([b"ka", b"</script><b>"], [b"k", b"a</script><b>"], spans=(14,))
    evil = evil.model_copy(
        update={"title": "<b>Twice</b>", "above": evil.above.model_copy(update={"name": "<u>"})}
    )
    html, markdown = write_report(
        [page(trained, tmp_path, drawn={KATO: list(trained.experiment.variants), evil: ["reward"]})], tmp_path
    )
    reader = Reader(html.read_text())
    assert not reader.open and not {"b", "u"} & {tag for tag, _ in reader.elements}
    assert [tag for tag, _ in reader.elements].count("script") == 1  # ours
    boxes = [
        attributes
        for tag, attributes in reader.elements
        if tag == "span" and attributes.get("class") == "token"
    ]
    assert [box["title"] for box in boxes] == [
        "kat", "k", "a", "t", "o␣", "o", "␣", "ka", "</script><b>", "k", "a</script><b>",
    ]  # fmt: skip
    labels = [a["aria-label"] for tag, a in reader.elements if tag == "div" and a.get("role") == "img"]
    assert labels == ["kat | k a t; o␣ | o ␣", "ka </script><b> | k a</script><b>"]
    assert "Above: teacher, 2 tokens. Below: student, 5 tokens." in reader.words
    written = markdown.read_text()
    assert "│kat  │o␣ │\n├─────┼───┤\n│k│a│t│o│␣│" in written and "&lt;b\\>Twice" in written
    for fence in re.findall(r"```text\n(.*?)```", written, re.DOTALL):
        assert all(line[:1] in "│├ " for line in fence.splitlines())


def test_home_folders_are_made_unreadable_and_boundaries_stay(tmp_path: Path) -> None:
    cuts = two([b"see /ho", b"me/al", b"ice/x"], [b"see /home/alice/x"])
    drawn = drawing(cuts)
    assert "al" not in drawn.plain + drawn.words and drawn.plain.startswith("│see␣~~~│~~~~~│~~~/x│")
