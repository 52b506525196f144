"""The language: its probabilities are those of all topic paths, its texts are drawn from them, and it is reproducible."""

import math
import os
import re
import subprocess
import sys
from itertools import product

import numpy as np
import pytest

from lab.core.distill.language import VIEWS, Language, entropies, view, word_hmm
from lab.core.distill.language.words import MOST, pseudo_words


def test_the_forward_filter_is_the_sum_over_all_topic_paths(tiny, tiny_texts):
    found = tiny.score(list(tiny_texts))
    np.testing.assert_allclose(np.exp(found.log_prob), list(tiny_texts.values()), rtol=1e-12, atol=1e-300)
    assert math.isclose(np.exp(found.log_prob).sum(), 1, rel_tol=1e-12)
    assert set(found.wrong) == {None}


def test_an_unfinished_text_has_the_probability_of_all_that_begin_like_it(tiny, tiny_texts):
    beginnings = ["", "k", "ka", "ka ", "ka k", "tok to k", "katok", "to kato", "katoka katoka katok"]
    for beginning, log_prob in zip(beginnings, tiny.score(beginnings).log_prob, strict=True):
        wanted = sum(p for text, p in tiny_texts.items() if text.startswith(beginning))
        assert math.isclose(math.exp(log_prob), wanted, rel_tol=1e-12)


@pytest.mark.parametrize(
    "text,word",
    [("ka xyz to ", "xyz"), ("ka  to ", ""), ("ka to kx", "kx"), ("Ka ", "Ka"), ("ka to a kot to ", "a")],
)
def test_a_word_that_the_language_lacks(tiny, text, word):
    found = tiny.score(["ka to ", text, "tok"])
    assert found.log_prob[1] == -math.inf and np.isfinite(found.log_prob[[0, 2]]).all()
    assert found.wrong == (None, word, None)


def test_a_word_that_cannot_stand_where_it_stands():
    apart = Language(("ka", "to"), np.array([0.5, 0.5]), np.eye(2), np.eye(2))
    found = apart.score(["ka ka ", "ka to ka ", "to ka", "to t"])
    assert found.wrong == (None, "to", "ka", None)
    np.testing.assert_array_equal(found.log_prob, [math.log(0.5), -math.inf, -math.inf, math.log(0.5)])


def test_draws_have_the_probabilities_of_the_language(tiny, tiny_texts):
    count = 40_000
    drawn = tiny.draw(np.random.default_rng(1), count, 3)
    numbers = drawn @ np.array([25, 5, 1])
    frequencies = np.bincount(numbers, minlength=125) / count
    p = np.array(list(tiny_texts.values()))
    error = np.sqrt(p * (1 - p) / count)
    assert frequencies[p == 0].sum() == 0
    assert (np.abs(frequencies - p)[p > 0] / error[p > 0]).max() < 4.5
    # Chi-squared over the triples: mean 1 of its degrees of freedom, whose spread is sqrt(2/124).
    possible = p > 0
    assert (
        (frequencies - p)[possible] ** 2 / p[possible]
    ).sum() * count / possible.sum() < 1 + 5 * math.sqrt(2 / 124)


def test_texts_are_the_shortest_of_whole_words_that_are_long_enough(language):
    for characters in (0, 1, 7, 200):
        for text in language.write(np.random.default_rng(2), 20, characters):
            words = text.split(" ")
            assert words[-1] == "" and set(words[:-1]) <= set(language.words)
            assert len(text) >= characters and (not text or len(text) - len(words[-2]) - 1 < characters)
    assert language.write(np.random.default_rng(2), 0, 100) == []


def test_the_parameters_mean_what_they_say():
    made = word_hmm(topics=5, words=203, shared=0.2, zipf=1.3, stay=0.7, seed=4)
    has = made.emission > 0
    assert (has.all(0)).sum() == 41 and (has.sum(0) == 1).sum() == 203 - 41
    for topic in made.emission:
        sizes = np.sort(topic[topic > 0])[::-1]
        np.testing.assert_allclose(sizes / sizes[0], np.arange(1, len(sizes) + 1) ** -1.3, rtol=1e-12)
    np.testing.assert_allclose(made.transition.diagonal(), 0.7)
    np.testing.assert_allclose(made.transition.sum(-1), 1)
    assert word_hmm(topics=1, words=20).transition.tolist() == [[1.0]]
    assert len(np.unique(word_hmm(topics=2, words=20, zipf=0, shared=1).emission)) == 1


def test_topics_order_shared_words_differently():
    made = word_hmm(topics=6, words=60, shared=1)
    assert len({tuple(row) for row in made.emission.argsort(-1).tolist()}) == 6


def test_pseudo_words_are_different_syllables_up_to_the_last():
    words = pseudo_words(np.random.default_rng(0), MOST)
    assert len(set(words)) == MOST == 60 + 60**2 + 60**3
    assert all(re.fullmatch("([bdfgklmnprst][aeiou]){1,3}", word) for word in words)
    shortest = pseudo_words(np.random.default_rng(0), 1000)
    assert [sum(len(word) == 2 * n for word in shortest) for n in (1, 2, 3)] == [60, 540, 400]


@pytest.mark.parametrize(
    "parameters,message",
    [
        ({"topics": 0}, "topics is 0; it must be at least 1"),
        ({"topics": -3}, "topics is -3; it must be at least 1"),
        ({"words": 0}, "words is 0; there are between 1 and 219,660 of at most 3 syllables"),
        ({"words": -1}, "words is -1; there are between 1 and 219,660"),
        ({"words": MOST + 1}, "words is 219661; there are between 1 and 219,660"),
        ({"shared": 1.5}, "shared is 1.5; it is a share, from 0 to 1"),
        ({"stay": math.nan}, "stay is nan; it is a share"),
        ({"zipf": -1.0}, "zipf is -1.0; it must be at least 0"),
        ({"zipf": math.inf}, "zipf is inf"),
        ({"seed": -1}, "seed is -1; it must be at least 0"),
        (
            {"topics": 8, "words": 5, "shared": 0.0},
            "words is 5: 8 topics that share none need at least one each",
        ),
    ],
)
def test_parameters_out_of_range_are_refused(parameters, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        word_hmm(**parameters)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "words,prior,transition,emission,message",
    [
        (("ka", "ka"), [1], [[1]], [[0.5, 0.5]], "word 'ka' is there twice"),
        (("ka", "t o"), [1], [[1]], [[0.5, 0.5]], "word 't o' must be of letters"),
        (("ka", ""), [1], [[1]], [[0.5, 0.5]], "word '' must be of letters"),
        (("ka", "to"), [1], [[1]], [[0.5, 0.4]], "a row of emission is no distribution"),
        (("ka", "to"), [1], [[1]], [[1.5, -0.5]], "a row of emission is no distribution"),
        (("ka", "to"), [1], [[math.nan]], [[0.5, 0.5]], "a row of transition is no distribution"),
        (("ka",), [1], [[1]], [[0.5, 0.5]], "emission is (1, 2); 1 topics and 1 words make it (1, 1)"),
    ],
)
def test_languages_that_cannot_be(words, prior, transition, emission, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Language(words, *map(np.array, (prior, transition, emission)))


def test_negative_counts_are_refused(tiny):
    rng = np.random.default_rng(0)
    for call in (
        lambda: tiny.draw(rng, -1, 2),
        lambda: tiny.draw(rng, 1, -2),
        lambda: tiny.write(rng, 1, -5),
    ):
        with pytest.raises(ValueError, match="negative"):
            call()


def test_the_digest_is_the_same_in_every_process_and_depends_on_every_parameter():
    code = (
        "from lab.core.distill.language import view, word_hmm\n"
        "made = word_hmm(topics=3, words=80, seed=1)\n"
        "print(made.digest, *(view(made, name, size=60).digest for name in ('char', 'bpe', 'word')))"
    )
    # Merges are learnt by several threads where there are cores: their order must not depend on that.
    environment = os.environ | {"PYTHONHASHSEED": "7", "RAYON_NUM_THREADS": "3"}
    elsewhere = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    base = {"topics": 3, "words": 80, "seed": 1}
    here = word_hmm(**base)
    views = [view(here, name, size=60).digest for name in VIEWS]
    assert elsewhere.stdout.split() == [here.digest, *views]
    changed = [{"topics": 4}, {"words": 81}, {"seed": 2}, {"shared": 0.3}, {"zipf": 1.1}, {"stay": 0.8}]
    assert len({word_hmm(**base | change).digest for change in [{}, *changed]}) == 7
    assert len({*views, view(here, "bpe", size=61).digest}) == 4


def entropy(p):
    p = np.asarray(p)[np.asarray(p) > 0]
    return float(-(p * np.log(p)).sum())


def test_the_entropy_rate_lies_between_its_bounds(tiny):
    """H(w₇ | w₁…w₆, z₁) ≤ rate ≤ H(w₇ | w₁…w₆) in the stationary state (Cover & Thomas, §4.5), by enumeration."""
    stationary = tiny.stationary
    np.testing.assert_allclose(stationary @ tiny.transition, stationary, atol=1e-14)

    def bound(prior):
        joint = {}
        for n in (6, 7):
            p = np.full((1, 3), prior)
            for _ in range(n):
                p = ((p[:, None, :] * tiny.emission.T) @ tiny.transition).reshape(-1, 3)
            joint[n] = entropy(p.sum(-1))
        return joint[7] - joint[6]

    upper = bound(stationary)
    lower = sum(p * bound(np.eye(3)[z]) for z, p in enumerate(stationary))
    found = entropies(tiny, documents=4000, words=5)
    bits = 1 / (found.characters * math.log(2))
    assert 0 <= upper - lower < 1e-3
    assert lower * bits - 4 * found.error < found.rate < upper * bits + 4 * found.error
    assert found.error < 0.01 * found.rate
    alone = stationary @ tiny.emission
    assert math.isclose(
        found.characters, sum(p * (len(w) + 1) for p, w in zip(alone, tiny.words, strict=True))
    )
    assert math.isclose(found.unigram, entropy(alone) * bits)
    assert math.isclose(
        found.given_topic,
        sum(p * entropy(row) for p, row in zip(stationary, tiny.emission, strict=True)) * bits,
    )
    assert found.given_topic < found.rate < found.unigram


def test_one_topic_leaves_nothing_to_context():
    found = entropies(word_hmm(topics=1, words=50), documents=3, words=2)
    assert (
        math.isclose(found.rate, found.unigram)
        and math.isclose(found.rate, found.given_topic)
        and found.error < 1e-15
    )
    with pytest.raises(ValueError, match="1 documents of 20 words; it takes at least 2 of 1"):
        entropies(word_hmm(), documents=1)


def test_by_default_context_is_worth_much(language):
    found = entropies(word_hmm())
    assert found.unigram - found.rate > 0.15  # bits per character; .04 to .07 with most words shared
    assert found.error < 0.01


def test_nothing_heavy_is_imported_before_it_is_needed():
    code = (
        "import sys, lab.core.distill.language as language\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
        "made = language.word_hmm(words=20)\n"
        "assert 'torch' not in sys.modules\n"
        "language.Truth(made, language.view(made, 'char'))\n"
        "assert 'tokenizers' not in sys.modules\n"
        "import lab.core.distill\n"
        "assert lab.core.distill.word_hmm is language.word_hmm"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_beliefs_go_on_past_a_word_that_tells_nothing(tiny):
    for numbers in product((0, 3), repeat=2):
        skipped, chances = tiny.beliefs(np.array([[numbers[0], -1, numbers[1]]]))
        whole, _ = tiny.beliefs(np.array([numbers]))
        np.testing.assert_allclose(skipped[0, 2], whole[0, 1] @ tiny.transition, rtol=1e-14)
        assert chances[0, 1] == -math.inf and np.isfinite(chances[0, [0, 2]]).all()
