"""Real tokenizers, trained here on a few lines. Skipped where `tokenizers` is not installed (the extra hf has it)."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.core.distill.losses.cross_tokenizer import (
    align,
    exact_marginal,
    pieces,
    retokenise,
    tokens,
    trie,
)

pytest.importorskip("tokenizers")
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

LINES = [
    "the cat sat on the mat",
    "the café naïve 😀😀 cat",
    "that that is, is; it's 3€",
    "a\tb\n\nc 🇩🇪 the end",
] * 5
TEXT = st.text("the cat😀é€\n👩‍👩‍👧,▁", max_size=20)


@pytest.fixture(scope="module")
def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(LINES, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer.add_tokens([AddedToken("<new word>")])
    return tokenizer, pieces(tokenizer.get_vocab(), "byte-level", special=["<s>"], literal=["<new word>"])


@pytest.fixture(scope="module")
def sentencepiece():
    """As Llama 2's: ▁ for spaces, one put in front, and bytes for what was not seen."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trained.train_from_iterator(
        ["the cat sat", "that mat"] * 5, trainers.BpeTrainer(vocab_size=40, show_progress=False)
    )
    model = json.loads(trained.to_str())["model"]
    vocabulary = {"<s>": 0, **{f"<0x{i:02X}>": i + 1 for i in range(256)}}
    for token in model["vocab"]:
        vocabulary.setdefault(token, len(vocabulary))
    merges = [tuple(merge) for merge in model["merges"]]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return tokenizer, pieces(tokenizer.get_vocab(), "sentencepiece", special=["<s>"])


@given(TEXT)
@settings(max_examples=60, deadline=None)
def test_pieces_write_the_text_and_spans_cover_it(byte_level, sentencepiece, text):
    """Byte-level against byte fallback: half emoji on both sides, BOS, a space that is put in front."""
    text = text.replace("▁", " ")  # SentencePiece's own sign cannot be told from a space
    (a, a_pieces), (b, b_pieces) = byte_level, sentencepiece
    student = tokens(a.encode(text).ids, a_pieces)
    teacher = tokens(b.encode(text).ids, b_pieces, dummy_space=not text.startswith(" "))
    assert student.text == teacher.text == text.encode()
    assert student.ids[0] == 0 and student.ends[0] == 0
    spans = align(student, teacher)
    assert b"".join(student.piece(i) for span in spans for i in span.student) == text.encode()
    assert all(end.end in student.ends and end.end in teacher.ends for end in spans)


def test_an_added_word_and_half_an_emoji(byte_level):
    tokenizer, found = byte_level
    text = "the <new word>👩"
    student = tokens(tokenizer.encode(text).ids, found)
    assert student.text == text.encode()
    assert b"<new word>" in [student.piece(i) for i in range(len(student.ids))]
    assert any(student.piece(i).decode(errors="ignore") == "" for i in range(1, len(student.ids)))


def test_offsets_are_those_of_the_tokenizer_itself(byte_level):
    """Its own are in characters, and of a character that is cut it gives all of it to each part."""
    tokenizer, found = byte_level
    text = "the café sat 3€ on 😀"
    encoding = tokenizer.encode(text)
    student = tokens(encoding.ids, found)
    for end, (_, characters) in zip(student.ends[1:], encoding.offsets[1:], strict=True):
        assert len(text[: characters - 1].encode()) < end <= len(text[:characters].encode())


def test_bytes_as_the_student_and_the_marginal_of_a_real_tokenizer(byte_level):
    """What an encoding begins with is an encoding, through half characters too: nothing is refused."""
    tokenizer, found = byte_level
    letters = [bytes([i]) for i in range(256)]
    text = retokenise("the café that 😀".encode(), list, letters)
    sign = {found[i]: token for token, i in tokenizer.get_vocab().items() if len(found[i]) == 1}

    def encode(beginning):
        """By byte-level letters, since half a character is no text; words begin with their space."""
        words = beginning.replace(b" ", b"\0 ").split(b"\0")
        named = ["".join(sign[bytes([byte])] for byte in word) for word in words]
        return [token.id for word in named for token in tokenizer.model.tokenize(word)]

    assert encode(text.text) == tokenizer.encode(text.text.decode()).ids[1:]
    prefixes = []
    rows = torch.randn(
        len(text.ids), len(found), generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    rows = rows.log_softmax(-1)

    def teacher(beginnings):
        prefixes.extend(beginnings)
        return rows

    marginal = exact_marginal(teacher, encode, [text], trie(letters, found))
    assert prefixes == [tuple(encode(text.text[:k])) for k in range(len(text.text))]
    assert marginal.shape == (1, len(text.ids), 256)
    torch.testing.assert_close(marginal.logsumexp(-1), torch.zeros(1, len(text.ids), dtype=torch.float64))
    first = torch.zeros(256, dtype=torch.float64)
    for i, piece in enumerate(found):
        if piece:
            first[piece[0]] += rows[0, i].exp()
    torch.testing.assert_close(marginal[0, 0].exp(), first / first.sum())
