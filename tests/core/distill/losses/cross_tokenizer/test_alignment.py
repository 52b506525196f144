"""Spans: nothing lost, nothing moved, as short as can be; with emoji, broken characters and special tokens."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lab.core.distill.losses.cross_tokenizer import Tokens, align, align_batch, tokens, word_ends

TEXTS = st.one_of(st.text(max_size=12), st.text("a ▁Ġ😀é", max_size=12)).map(str.encode) | st.binary(
    max_size=12
)


@st.composite
def cut(draw, text):
    """A text cut anywhere, inside of characters too, with special tokens anywhere."""
    inner = draw(st.sets(st.integers(1, len(text) - 1))) if len(text) > 1 else set()
    ends = sorted(inner | ({len(text)} if text else set()))
    for at in draw(st.lists(st.integers(0, len(ends)), max_size=3)):
        ends.insert(at, ends[at - 1] if at else 0)
    return Tokens(tuple(range(len(ends))), tuple(ends), text)


@st.composite
def pair(draw):
    text = draw(TEXTS)
    return draw(cut(text)), draw(cut(text))


def written(tokens, where):
    return b"".join(tokens.piece(i) for i in where)


@given(pair())
def test_spans_are_all_of_the_text_cut_where_both_sides_end(both):
    student, teacher = both
    spans = align(student, teacher)
    assert b"".join(written(student, span.student) for span in spans) == student.text
    assert all(written(student, span.student) == written(teacher, span.teacher) for span in spans)
    assert [span.end for span in spans] == sorted(set(student.ends) & set(teacher.ends) - {0})
    for side, of in ((student, "student"), (teacher, "teacher")):
        covered = [i for span in spans for i in getattr(span, of)]
        assert covered == sorted(set(covered))
        assert all(side.piece(i) == b"" for i in set(range(len(side.ids))) - set(covered))
        assert all(side.piece(getattr(span, of)[0]) and side.piece(getattr(span, of)[-1]) for span in spans)


@given(pair(), st.data())
def test_with_boundaries_spans_are_unions_of_minimal_ones(both, data):
    student, teacher = both
    boundaries = data.draw(st.sets(st.integers(0, len(student.text))))
    spans = align(student, teacher, boundaries)
    ends = [span.end for span in align(student, teacher)]
    assert [span.end for span in spans] == [end for end in ends if end in boundaries]
    begin = 0
    for span in spans:
        assert (
            written(student, span.student) == student.text[begin : span.end] == written(teacher, span.teacher)
        )
        begin = span.end


def test_bos_emoji_and_an_added_word_by_hand():
    """Byte by byte on one side; on the other BOS, half an emoji with a letter, and the rest of it."""
    text = "a😀b".encode()
    student = tokens(range(6), [text[i : i + 1] for i in range(6)])
    teacher = tokens([0, 1, 2, 3], [b"", text[:3], text[3:5], text[5:]])
    found = [(span.student, span.teacher, span.end) for span in align(student, teacher)]
    assert found == [(range(3), range(1, 2), 3), (range(3, 5), range(2, 3), 5), (range(5, 6), range(3, 4), 6)]


def test_the_ends_of_words():
    assert word_ends(b" the cat") == [4, 8]
    assert word_ends(b"the cat ") == [3, 7, 8]
    assert word_ends(b"ab_c_d", b"_", leading=False) == [3, 5]
    assert word_ends("▁a▁b".encode(), "▁".encode()) == [4, 8]
    assert word_ends(b"") == []


def test_half_a_word_at_the_end_belongs_to_no_word(ending):
    student, teacher = ending
    text = b"abc_ab"
    spans = align(student.tokens(text), teacher.tokens(text), word_ends(text, b"_", leading=False))
    assert [(span.student, span.end) for span in spans] == [(range(4), 4)]


def test_texts_that_differ_are_refused_with_the_byte_and_both_pieces():
    student = tokens([0, 1, 2], [b"", b"hel", b"lo"])
    with pytest.raises(
        ValueError, match=r"differ at byte 3: the student has b'lo' there \(token 2\), the teacher b'hela'"
    ):
        align(student, tokens([0], [b"hela"]))
    with pytest.raises(
        ValueError, match=r"differ at byte 3: the student has b'lo' there \(token 2\), the teacher ended"
    ):
        align(student, tokens([0], [b"hel"]))
    with pytest.raises(ValueError, match="boundary 6 lies outside of the text, which has 5 bytes"):
        align(student, student, [6])
    with pytest.raises(ValueError, match="text 1: the texts differ at byte 0"):
        align_batch([(student, student), (student, tokens([], []))])
    with pytest.raises(ValueError, match="2 texts need as many boundaries, not 1"):
        align_batch([(student, student)] * 2, [[5]])


@given(st.lists(pair(), min_size=1, max_size=4), st.booleans())
def test_a_batch_holds_the_spans_of_its_rows(pairs, words):
    boundaries = [word_ends(student.text) for student, _ in pairs] if words else None
    batch = align_batch(pairs, boundaries).to("cpu")
    for row, both in enumerate(pairs):
        spans = align(*both, boundaries[row] if words else None)
        assert batch.mask[row].tolist() == [i < len(spans) for i in range(batch.mask.shape[1])]
        assert batch.end[row, : len(spans)].tolist() == [span.end for span in spans]
        for side, name, text in ((batch.student, "student", both[0]), (batch.teacher, "teacher", both[1])):
            assert side.ids[row][side.mask[row]].tolist() == list(text.ids)
            assert side.mask[row].sum() == len(text.ids)
            for number, span in enumerate(spans):
                where = getattr(span, name)
                assert (side.start[row, number], side.stop[row, number]) == (where.start, where.stop)
                assert (side.span[row] == number).nonzero().flatten().tolist() == list(where)
            none = batch.mask.shape[1]
            assert (side.span[row] < none).sum() == sum(len(getattr(span, name)) for span in spans)
    assert all(x.dtype in (torch.int64, torch.bool) for x in (batch.end, batch.mask, batch.student.span))
