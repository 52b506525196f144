"""Text to ids and back."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.lm.vocabulary import TAGS, Vocabulary, vocabulary

WORDS = vocabulary((*"0123456789", *"+-*=,^]\\", "ab", "abc", "c", "d", "bcd"))


def test_tags_are_one_token_and_pad_is_not_eos():
    assert all(len(WORDS.encode(tag)) == 1 for tag in (*TAGS, "<pad>", "<eos>"))
    assert WORDS.pad != WORDS.eos and WORDS.eos_ids == (WORDS.eos,)
    assert WORDS.encode("<eos>") == [WORDS.eos]
    assert WORDS.encode("<pad>") == [WORDS.pad]
    assert WORDS.size == len(WORDS.tokens) == 6 + 10 + 8 + 5


@given(st.lists(st.sampled_from([t for t in WORDS.tokens if t != "<pad>" and not t.isalpha()]), max_size=60))
def test_round_trip(tokens):
    ids = WORDS.encode("".join(tokens))
    assert [WORDS.tokens[i] for i in ids] == tokens
    assert WORDS.decode(ids) == "".join(tokens)


def test_the_longest_token_first():
    assert [WORDS.tokens[i] for i in WORDS.encode("abcdab")] == ["abc", "d", "ab"]


@pytest.mark.parametrize(
    "text,what",
    [
        ("7?5", r"no token for '\?5' at character 1$"),
        ("?", r"no token for '\?' at character 0$"),
        ("<think>7<thnk>", r"no token for '<thnk>' at character 8$"),
        ("<think>7 ", r"no token for ' ' at character 8$"),
        ("7?" + "1" * 50, r"no token for '\?1{19}'… at character 1$"),
        ("7\n", r"no token for '\\n' at character 1$"),
    ],
)
def test_text_that_cannot_be_read(text, what):
    with pytest.raises(ValueError, match=what):
        WORDS.encode(text)


def test_decode_drops_pad_and_keeps_eos_unless_asked():
    ids = [WORDS.pad, *WORDS.encode("7+5=<eos>"), WORDS.pad, WORDS.pad]
    assert WORDS.decode(ids) == "7+5=<eos>"
    assert WORDS.decode(ids, keep_eos=False) == "7+5="
    assert WORDS.encode("") == [] and WORDS.decode([]) == ""


@pytest.mark.parametrize("bad", [-1, -100, WORDS.size])
def test_ids_that_no_token_has(bad):
    with pytest.raises(ValueError, match=f"no token has the id {bad}"):
        WORDS.decode([0, bad])


@pytest.mark.parametrize(
    "tokens,what",
    [
        (("<pad>", "a"), "needs the token <eos>"),
        (("<eos>", "a"), "needs the token <pad>"),
        (("<pad>", "<eos>", "a", "a"), "token a is there twice"),
        (("<pad>", "<eos>", ""), "token 2 is empty"),
    ],
)
def test_vocabularies_that_cannot_be(tokens, what):
    with pytest.raises(ValueError, match=what):
        Vocabulary(tokens)


def test_without_single_characters():
    only = Vocabulary(("<pad>", "<eos>", "ab"))
    assert only.encode("abab<eos>") == [2, 2, 1]
    with pytest.raises(ValueError, match="character 2"):
        only.encode("aba")


def test_the_digest_is_that_of_the_tokens_in_order():
    assert WORDS.digest == Vocabulary(WORDS.tokens).digest
    assert len(WORDS.digest) == 16
    assert Vocabulary(("<pad>", "<eos>", "a", "b")).digest != Vocabulary(("<pad>", "<eos>", "b", "a")).digest
    assert (
        Vocabulary(("<pad>", "<eos>", "ab", "c")).digest != Vocabulary(("<pad>", "<eos>", "a", "bc")).digest
    )
    code = f"from lab.core.lm.vocabulary import Vocabulary; print(Vocabulary({WORDS.tokens!r}).digest)"
    # Another process has other seeds for `hash`.
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
        == WORDS.digest
    )
