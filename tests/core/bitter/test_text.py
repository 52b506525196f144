"""Text: Witten-Bell by hand and against a slow one, probabilities that sum to 1, the same characters for both models."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from one_trial import context_in
from pydantic import ValidationError

from lab.core.bitter.text.learnt import log2, trained
from lab.core.bitter.text.ngram import NGram
from lab.core.bitter.text.sources import ALPHABET, SYMBOLS, Sources, sources, split, symbols
from lab.core.bitter.text.trial import Params, trial
from lab.core.lm.model import Config, Transformer
from lab.core.trial import Refused

A, B, C = 0, 1, 2


def chance(model: NGram, context: list[int], symbol: int) -> float:
    return float(2 ** model.log2(np.array([*context, symbol]))[-1])


def test_a_case_by_hand() -> None:
    model = NGram(np.array([A, B, A, B, A]), 2, 3)
    # Two of five; two symbols were new, and a third of their share goes to each of three.
    of_b = (2 + 2 / 3) / (5 + 2)
    assert chance(model, [], B) == pytest.approx(of_b)
    assert chance(model, [], C) == pytest.approx((2 / 3) / 7)
    assert chance(model, [A], B) == pytest.approx((2 + of_b) / (2 + 1))
    assert chance(model, [A], C) == pytest.approx((2 / 3) / 7 / 3)
    assert chance(model, [C], B) == pytest.approx(of_b)  # never seen before anything


def slow(text: list[int], order: int, vocabulary: int, context: tuple[int, ...], symbol: int) -> float:
    """The formula, as it is written."""
    if len(context) >= order:
        context = context[len(context) - order + 1 :]
    follow = Counter(
        text[i + len(context)]
        for i in range(len(text) - len(context))
        if tuple(text[i : i + len(context)]) == context
    )
    below = slow(text, order, vocabulary, context[1:], symbol) if context else 1 / vocabulary
    total = sum(follow.values())
    return (follow[symbol] + len(follow) * below) / (total + len(follow)) if total else below


@pytest.mark.parametrize("order", [1, 2, 4])
def test_it_is_the_formula_and_sums_to_1(order: int) -> None:
    random = np.random.default_rng(order)
    text = random.integers(0, 4, 60)
    model = NGram(text, order, 5)
    for _ in range(20):
        context = random.integers(0, 5, 5).tolist()
        found = [chance(model, context, symbol) for symbol in range(5)]
        assert sum(found) == pytest.approx(1)
        assert found == pytest.approx([slow(text.tolist(), order, 5, tuple(context), s) for s in range(5)])


def test_grams_of_nine_characters_have_numbers_of_their_own() -> None:
    assert SYMBOLS**9 < 2**63


def test_what_repeats_itself_costs_next_to_nothing() -> None:
    text = np.tile(np.arange(10), 200)
    logs = NGram(text, 3, SYMBOLS).log2(text)
    assert -logs[2:].mean() < 0.05 and logs[0] == pytest.approx(np.log2((200 + 10 / SYMBOLS) / 2010))


def test_symbols() -> None:
    assert symbols("\n ~").tolist() == [0, 1, 95] and symbols("\té€😀").tolist() == [96] * 4
    text = "def f(x):\n    return x"
    assert "".join(ALPHABET[i] for i in symbols(text)) == text


def test_sources_are_sorted_and_their_digest_changes_with_them(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no sources"):
        sources(tmp_path)
    for name in ("b.py", "a.py", "c.txt"):
        (tmp_path / name).write_text(name)
    found = sources(tmp_path)
    assert found.names == ("a.py", "b.py") and sources(tmp_path).digest == found.digest
    (tmp_path / "a.py").write_text("a.pz")
    assert sources(tmp_path).digest != found.digest


def test_nothing_is_learnt_of_test_files_and_less_text_is_the_beginning_of_more() -> None:
    names = tuple("abcdefgh")
    found = Sources(names, tuple(np.full(100, i, dtype=np.uint8) for i in range(8)), "")
    more, less = (split(found, characters, 3, 40, seed=1) for characters in (500, 150))
    assert [len(test) for test in more.tests] == [40] * 3
    tested = {int(test[0]) for test in more.tests}
    assert len(tested) == 3 and not tested & set(more.train.tolist())
    assert (less.train == more.train[:150]).all()
    with pytest.raises(Refused, match="there are 500 characters; not 501"):
        split(found, 501, 3, 40, seed=1)


def test_the_transformer_is_judged_on_the_characters_it_says() -> None:
    torch.manual_seed(0)
    model = Transformer(Config(SYMBOLS, 8, d_model=16, heads=2, kv_heads=2, layers=1))
    text = np.random.default_rng(0).integers(0, SYMBOLS, 21)
    found = log2(model, text, 8)
    assert found.shape == (16,)  # after the first four, and without the last one, which fills no piece
    with torch.no_grad():
        for place in range(4, 20):
            begin = place // 4 * 4 - 4
            ids = torch.as_tensor(text[None, begin:place], device="cpu")
            expected = torch.log_softmax(model(ids)[0, -1], -1)[text[place]] / np.log(2)
            assert found[place - 4] == pytest.approx(float(expected), abs=1e-4)


@pytest.mark.parametrize("model", ["ngram", "transformer"])
def test_a_trial(model: str, tmp_path: Path) -> None:
    context: Any = context_in(tmp_path)
    small = {"steps": 20, "batch": 8, "d_model": 16, "layers": 1, "heads": 2, "test_files": 3}
    found = trial(Params(model=model, characters=4000, **small), context)
    assert 1 < found["bits"] < np.log2(SYMBOLS)
    if model == "transformer":  # the weights kept are those of the best look, not the last
        looks = [metrics["held_out"] for _, metrics in context.records]
        assert len(looks) >= 12 and min(looks) < looks[0]
    assert "of Python" in (tmp_path / "sources.txt").read_text() and "digest" in context.samples[0][1]


def test_the_weights_that_are_kept_are_the_best_on_what_is_held_out() -> None:
    """Random text cannot be learnt, only learnt by heart: what is kept is no worse than what is looked at first."""
    text = np.random.default_rng(0).integers(0, 4, 16 * 10)
    small = {"steps": 120, "batch": 8, "length": 16, "d_model": 32, "layers": 1, "heads": 2, "test_files": 3}
    looks: list[float] = []
    params = Params(model="transformer", characters=1000, **small)
    model = trained(params, text, 4, 0, "cpu", lambda step, bits: looks.append(bits))
    last = text[-16:]
    with torch.no_grad():
        logits = model(torch.as_tensor(last[None, :-1], device="cpu"))[0]
    bits = -torch.log_softmax(logits, -1)[torch.arange(15, device="cpu"), torch.as_tensor(last[1:])] / np.log(
        2
    )
    assert float(bits.mean()) == pytest.approx(min(looks), abs=1e-4)
    assert looks[-1] > min(looks) + 0.1


def test_two_pieces_are_needed() -> None:
    with pytest.raises(ValidationError, match="1000 characters are no two pieces of length 501"):
        Params(characters=1000, length=501)
