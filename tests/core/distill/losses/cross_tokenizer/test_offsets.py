"""Tokens and the bytes that they write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.distill.losses.cross_tokenizer import Tokens, pieces, retokenise, tokens


def test_the_letters_of_byte_level_tokenizers_by_hand():
    """Ġ is a space, Ċ a line's end; é is two bytes; an emoji is four, here cut in the middle."""
    vocabulary = {"<s>": 0, "Ġthe": 1, "Ċ": 2, "Ã©": 3, "ðŁ": 4, "ĺĢ": 5, "<|im start|>": 6, "!": 8}
    found = pieces(vocabulary, "byte-level", special=["<s>"], literal=["<|im start|>"])
    assert found == (b"", b" the", b"\n", "é".encode(), b"\xf0\x9f", b"\x98\x80", b"<|im start|>", b"", b"!")
    text = tokens([0, 1, 4, 5, 2], found)
    assert text.text.decode() == " the😀\n"
    assert text.ends == (0, 4, 6, 8, 9)
    assert [text.piece(i) for i in range(5)] == [found[i] for i in text.ids]


def test_sentencepiece_by_hand():
    found = pieces(["<s>", "▁Hi", "<0xE2>", "<0x82>", "<0xAC>", "▁", "x"], "sentencepiece", special=["<s>"])
    assert found == (b"", b" Hi", b"\xe2", b"\x82", b"\xac", b" ", b"x")
    text = tokens([0, 1, 2, 3, 4], found, dummy_space=True)
    assert text.text.decode() == "Hi€"
    assert text.ends == (0, 2, 3, 4, 5)
    alone = tokens([5, 6], found, dummy_space=True)
    assert (alone.text, alone.ends) == (b"x", (0, 1))
    assert tokens([6, 5], found, dummy_space=True).text == b"x "


@given(st.binary())
def test_every_byte_has_a_letter_of_its_own(text):
    found = pieces(
        [chr(i) for i in range(0x21, 0x7F)] + [chr(i) for i in range(0xA1, 0x144) if i != 0xAD], "byte-level"
    )
    assert sorted(found) == [bytes([i]) for i in range(256)]
    back = [found.index(bytes([byte])) for byte in text]
    assert tokens(back, found).text == text


def test_what_cannot_be_right_is_refused():
    with pytest.raises(ValueError, match="unknown convention 'bytes'"):
        pieces(["a"], "bytes")
    with pytest.raises(ValueError, match="'a b' is not byte-level: ' ' stands for no byte"):
        pieces(["a b"], "byte-level")
    with pytest.raises(ValueError, match="no piece for the id -1; there are 2"):
        tokens([0, -1], (b"a", b"b"))
    with pytest.raises(ValueError, match="2 tokens need as many ends, not 1"):
        Tokens((1, 2), (1,), b"a")
    for ends in ((2, 1), (1, 1), (-1, 2)):
        with pytest.raises(ValueError, match="do not go up from 0 to 2"):
            Tokens((1, 2), ends, b"ab")


def test_what_the_teacher_wrote_becomes_the_students_tokens(ending):
    student, teacher = ending
    written = teacher.tokens(b"abcab_cab_b_")
    found = retokenise(written.text, student.encode, student.pieces)
    assert found == student.tokens(b"abcab_cab_b_") and len(found.ids) > len(written.ids)
    with pytest.raises(ValueError, match="write b'AB' at byte 0, where the text has b'ab'"):
        retokenise(b"ab", lambda text: [0, 1], (b"A", b"B"))
