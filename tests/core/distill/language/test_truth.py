"""The next token's distribution: by enumeration, the same in all views, and untouched by padding and neighbours."""

import math
import re

import numpy as np
import pytest
import torch

from lab.core.distill.language import VIEWS, Language, Oracle, Truth, view, word_hmm


def test_the_views_agree_on_every_text(language, truths, texts):
    texts = [*texts, *language.write(np.random.default_rng(0), 30, 900)]
    wanted = language.score(texts).log_prob
    for truth in truths.values():
        found = truth.read(truth.view.rows(texts)).totals.numpy()
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", VIEWS)
def test_every_distribution_by_enumeration(tiny, tiny_texts, name):
    """p(token | tokens before) = P(texts that begin with both) / P(texts that begin with those), over all texts."""
    one = view(tiny, name, size=11)
    begins = {}
    for text, p in tiny_texts.items():
        ids = one.encode(text)
        for end in range(len(ids) + 1):
            begins[tuple(ids[:end])] = begins.get(tuple(ids[:end]), 0.0) + p
    possible = [text for text, p in tiny_texts.items() if p > 0]
    ids = one.rows(possible)
    reading = Truth(tiny, one).read(ids)
    found = reading.dense().exp()
    for row, text in enumerate(possible):
        spelt = tuple(one.encode(text))
        for at in range(len(spelt)):
            wanted = [begins.get((*spelt[:at], token), 0.0) / begins[spelt[:at]] for token in range(one.size)]
            np.testing.assert_allclose(found[row, at], wanted, rtol=1e-11, atol=1e-15)
            log_prob = reading.log_probs[row, at + 1]
            assert math.isclose(math.exp(log_prob), wanted[spelt[at]], rel_tol=1e-11)


def test_the_tiny_language_is_spelt_in_pieces(tiny):
    """Else the test above would not see the inside of words."""
    assert max(map(len, view(tiny, "bpe", size=11).spellings)) >= 3


@pytest.mark.parametrize("name", VIEWS)
def test_distributions_sum_to_one_and_hold_the_log_probabilities(truths, texts, name):
    truth = truths[name]
    ids = truth.view.rows(texts)
    reading = truth.read(ids)
    dense = reading.dense()
    assert dense.dtype == torch.float64 and dense.shape == (*ids.shape, truth.view.size)
    torch.testing.assert_close(
        dense.exp().sum(-1), torch.ones(ids.shape, dtype=torch.float64), rtol=0, atol=1e-12
    )
    kept = ids[:, 1:] != truth.view.pad
    gathered = dense[:, :-1].gather(-1, ids[:, 1:, None]).squeeze(-1)[kept]
    torch.testing.assert_close(reading.log_probs[:, 1:][kept], gathered, rtol=0, atol=1e-12)
    assert not reading.log_probs[:, 0].any() and not reading.log_probs[:, 1:][~kept].any()
    assert torch.equal(reading.possible, ids != truth.view.pad)
    assert dense[:, :, [truth.view.pad, truth.view.eos]][reading.possible].isneginf().all()
    torch.testing.assert_close(reading.dense(slice(1, 3)), dense[1:3], rtol=0, atol=0)


def test_between_words_a_character_has_the_mass_of_all_pieces_that_begin_with_it(truths, texts):
    """Not inside a word: there the pieces so far tell more than their letters, namely which pieces it has."""
    char, bpe = truths["char"], truths["bpe"]
    of_chars, of_pieces = (truth.read(truth.view.rows(texts)) for truth in (char, bpe))
    first = np.array(
        [char.view.tokens.index(token[0]) if token[0] != "<" else -1 for token in bpe.view.tokens]
    )
    for row in range(len(texts)):
        at, of = (
            [0, *r.closes[row].nonzero()[0]] for r in (of_chars, of_pieces)
        )  # after <eos>, and after each word
        assert len(at) == len(of)
        chars, pieces = (
            of_chars.dense(slice(row, row + 1))[0, at].exp(),
            of_pieces.dense(slice(row, row + 1))[0, of].exp(),
        )
        for letter in range(char.view.size):
            wanted = pieces[:, first == letter].sum(-1)
            torch.testing.assert_close(chars[:, letter], wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", VIEWS)
def test_padding_and_neighbours_change_nothing(truths, texts, name):
    truth = truths[name]
    together = truth.read(truth.view.rows(texts, columns=800))
    dense = together.dense()
    for row, text in enumerate(texts):
        ids = truth.view.rows([text])
        alone, width = truth.read(ids), ids.shape[1]
        # Products of other shapes are added up in another order.
        torch.testing.assert_close(dense[row, :width], alone.dense()[0], rtol=0, atol=1e-12)
        torch.testing.assert_close(together.log_probs[row, :width], alone.log_probs[0], rtol=0, atol=1e-12)
        assert (dense[row, width:] == -math.log(truth.view.size)).all()


@pytest.mark.parametrize("name", ["char", "bpe"])
def test_an_impossible_word_is_named_and_the_next_one_is_told_again(language, truths, name):
    truth, one = truths[name], truths[name].view
    before, after = language.write(np.random.default_rng(8), 2, 60)
    ids = one.rows([before + "kkakk " + after, before])
    reading = truth.read(ids)
    assert reading.totals[0] == -math.inf and math.isfinite(reading.totals[1])
    assert reading.impossible(0) == "kkakk" and reading.impossible(1) is None
    first, wrong = len(one.encode(before)), len(one.encode("kkakk "))
    assert reading.log_probs[0].isneginf().sum() == 1
    undefined = (~reading.possible[0]).nonzero().squeeze(1)
    assert first + 1 <= undefined.min() and undefined.max() == first + wrong - 1
    assert (reading.dense()[0, undefined] == -math.log(one.size)).all()
    # After its mark: the belief has gone one word on, and nothing else.
    numbers = [language.number[word] for word in before.split()]
    belief = language.beliefs(np.array([[*numbers, -1]]))[0][0, -1]
    expected = truth.read(one.rows([before])).beliefs[0, -1] @ language.transition
    np.testing.assert_allclose(belief, expected, rtol=1e-13)
    np.testing.assert_allclose(
        reading.dense()[0, first + wrong].exp(), belief @ truth.trie.beginnings, rtol=1e-12, atol=1e-15
    )
    assert reading.log_probs[0, first + wrong + 1 :].isfinite().all()


def test_a_last_word_that_no_word_begins_like(truths):
    truth = truths["char"]
    text = truth.language.words[0] + " kk"
    assert truth.read(truth.view.rows([text])).impossible(0) == "kk"


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("token", ["<eos>", "<pad>"])
def test_no_mark_of_a_document_stands_inside_it(truths, name, token):
    truth, one = truths[name], truths[name].view
    word = one.encode(truth.language.words[0] + " ")
    reading = truth.read(torch.tensor([[one.eos, *word, one.tokens.index(token), *word, *word, one.pad]]))
    assert reading.totals[0] == -math.inf and reading.impossible(0) == token + truth.language.words[0]
    assert reading.log_probs[0].isneginf().nonzero().tolist() == [[1 + len(word)]]
    assert reading.possible[0, -1 - len(word) :].tolist() == [True] * len(word) + [False]


def test_a_topic_that_never_changes_excludes_the_words_of_others():
    apart = Language(("ka", "to"), np.array([0.5, 0.5]), np.eye(2), np.eye(2))
    for name in ("char", "word"):
        truth = Truth(apart, view(apart, name))
        reading = truth.read(truth.view.rows(["ka to ", "to to "]))
        assert (reading.impossible(0), reading.impossible(1)) == ("to", None)
        torch.testing.assert_close(
            reading.totals, torch.tensor([-math.inf, math.log(0.5)], dtype=torch.float64)
        )
        dense = reading.dense().exp()
        torch.testing.assert_close(dense.sum(-1), torch.ones(dense.shape[:2], dtype=torch.float64))


@pytest.mark.parametrize(
    "ids,message",
    [
        ([[1, 2], [2, 3]], "row 1 begins with 'a'; every document begins with <eos>"),
        ([[0, 1, 2]], "row 0 begins with '<pad>'"),
        ([[1, 99]], "ids are from 1 to 99; the view char has 20 tokens"),
        ([[1, -1]], "ids are from -1 to 1; the view char has 20 tokens"),
        ([1, 2], "ids have the shape (2,); they must be (batch, tokens)"),
        ([[]], "ids have the shape (1, 0)"),
    ],
)
def test_ids_that_cannot_be_read(truths, ids, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        truths["char"].read(torch.tensor(ids, dtype=torch.long))


def test_a_view_of_another_language_is_refused(tiny, truths):
    with pytest.raises(ValueError, match="the view char is of another language"):
        Truth(tiny, truths["char"].view)


def test_the_oracle_answers_like_a_model(truths, texts):
    truth = truths["bpe"]
    ids = truth.view.rows(texts)
    dense = truth.read(ids).dense()
    logits = Oracle(truth)(ids)
    assert logits.dtype == torch.float32
    assert torch.equal(logits, dense.float())
    floored = Oracle(truth, floor=-20.0, dtype=torch.float64)(ids)
    assert floored.min() == -20 and torch.equal(floored[dense > -20], dense[dense > -20])


def test_no_documents(truths):
    assert truths["char"].read(torch.empty(0, 5, dtype=torch.long)).dense().shape == (0, 5, 20)


def test_one_word_and_one_topic():
    only = word_hmm(topics=1, words=1)
    for name in ("char", "word"):
        truth = Truth(only, view(only, name))
        assert truth.read(truth.view.rows([f"{only.words[0]} " * 3])).totals.tolist() == [0.0]
