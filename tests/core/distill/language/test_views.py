"""Tokenisers: every text comes back, a word has one spelling, and no token goes across a mark."""

import re

import numpy as np
import pytest
import torch

from lab.core.distill.language import VIEWS, view, word_hmm
from lab.core.lm.vocabulary import EOS, PAD


@pytest.mark.parametrize("name", VIEWS)
def test_texts_come_back(truths, texts, name):
    one = truths[name].view
    assert (one.tokens[one.pad], one.tokens[one.eos]) == (PAD, EOS)
    for text in texts:
        ids = one.encode(text)
        assert one.decode(ids) == text and one.eos not in ids and one.pad not in ids
        assert one.decode(one.encode(EOS + text)) == EOS + text
    spelt = [token for word in texts[0].split() for token in one.spellings[one.words.index(word)]]
    assert one.encode(texts[0]) == spelt


def test_sizes(language, truths):
    letters = len(set("".join(language.words)))
    assert truths["char"].view.size == letters + 3
    assert truths["word"].view.size == len(language.words) + 2
    assert truths["bpe"].view.size == 90 == len(set(truths["bpe"].view.tokens))
    assert view(word_hmm(words=1000), "bpe").size == 512


def test_no_token_goes_across_a_mark(truths):
    for truth in truths.values():
        for token, closes, length in zip(
            truth.view.tokens, truth.view.closing, truth.view.lengths, strict=True
        ):
            assert " " not in token[:-1] and closes == token.endswith(" ")
            assert length == (0 if token in (PAD, EOS) else len(token))
        for word, spelling in zip(truth.view.words, truth.view.spellings, strict=True):
            assert truth.view.decode(spelling) == word + " "
            assert [bool(truth.view.closing[i]) for i in spelling] == [False] * (len(spelling) - 1) + [True]


def test_merges_are_applied_as_the_package_does(language, truths):
    from tokenizers import Tokenizer, models, pre_tokenizers

    bpe = truths["bpe"].view
    theirs = Tokenizer(models.BPE({token: i for i, token in enumerate(bpe.tokens)}, list(bpe.merges)))
    theirs.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    rng = np.random.default_rng(0)
    letters = [token for token in bpe.tokens if len(token) == 1]
    noise = ["".join(rng.choice(letters, rng.integers(1, 25))) for _ in range(300)]
    for text in [*(word + " " for word in language.words), *noise, "aaaaaaa", "  ", "nana  nana"]:
        assert bpe.encode(text) == theirs.encode(text).ids, text


@pytest.mark.parametrize("name", ["char", "bpe"])
def test_words_that_the_language_lacks_are_spelt_all_the_same(truths, name):
    one = truths[name].view
    for text in ("kkk ", " ", "aei ba", "b  b "):
        assert one.decode(one.encode(text)) == text
    with pytest.raises(ValueError, match=r"^no token for 'x' in the word 'kax'$"):
        one.encode("ka kax to ")


@pytest.mark.parametrize("text,what", [("kkk ", "'kkk '"), ("kkk", "'kkk'"), ("  ", "' '")])
def test_by_words_they_are_refused(truths, text, what):
    with pytest.raises(ValueError, match=f"^{what} is no word of the language with its mark$"):
        truths["word"].view.encode(text)


@pytest.mark.parametrize("name", VIEWS)
def test_ends_cut_a_text_into_its_tokens(truths, texts, name):
    one = truths[name].view
    ids = one.rows(texts)
    for text, row, ends in zip(texts, ids.tolist(), one.ends(ids).tolist(), strict=True):
        assert ends[0] == 0 and ends[-1] == len(text)
        for token, first, last in zip(row[1:], ends, ends[1:], strict=False):
            assert text[first:last] == ("" if token == one.pad else one.tokens[token])


def test_rows_begin_with_eos_and_end_in_padding(truths, texts):
    one = truths["bpe"].view
    ids = one.rows(texts)
    lengths = [len(one.encode(text)) + 1 for text in texts]
    assert ids.shape == (len(texts), max(lengths)) and ids.dtype == torch.long
    assert (ids != one.pad).sum(-1).tolist() == lengths and (ids[:, 0] == one.eos).all()
    cut = one.rows(texts, columns=20)
    assert torch.equal(cut, ids[:, :20])
    wide = one.rows(texts, columns=999)
    assert torch.equal(wide[:, : ids.shape[1]], ids) and (wide[:, ids.shape[1] :] == one.pad).all()
    assert one.rows([]).shape == (0, 1)


@pytest.mark.parametrize(
    "parameters,message",
    [
        ({"name": "cahr"}, "no view cahr. Did you mean char? There are: char, bpe, word"),
        (
            {"name": "bpe", "size": 12},
            "size is 12, two of them <pad> and <eos>: 10 pieces cannot hold an alphabet of 18",
        ),
        ({"name": "bpe", "size": -4}, "size is -4"),
        ({"name": "bpe", "size": 5000}, "the words of the text have only"),
    ],
)
def test_views_that_cannot_be(language, parameters, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        view(language, **parameters)
    assert "\n" not in str(caught.value)


def test_columns_that_cannot_be(truths, texts):
    with pytest.raises(ValueError, match="columns is 0; it must be at least 1"):
        truths["char"].view.rows(texts, columns=0)
