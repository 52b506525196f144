"""Steps in tokens, against the model's own distribution, enumerated."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lab.core.grpo.tasks import Problem
from lab.core.lm.generation import generate
from lab.core.lm.model import Config, Transformer
from lab.core.lm.vocabulary import vocabulary
from lab.core.search.model import labels
from lab.core.search.model.answers import by_steps, with_scores
from lab.core.search.model.texts import Texts, Writer, of_json, to_json

LONGEST = 4
WORDS = vocabulary(("a", "b", ","))
END = WORDS.encode(",")[0]


def writer(problems=("a", "ba"), longest=LONGEST):
    torch.manual_seed(1)
    model = Transformer(Config(WORDS.size, 2 + longest, d_model=16, layers=1, heads=2, kv_heads=1, d_ff=16))
    model.head.weight.data.mul_(2)
    is_right = lambda problem, text: text.count("a") > 1  # noqa: E731
    task = SimpleNamespace(vocabulary=WORDS, is_right=is_right)
    return Writer(model, task, [Problem(p, "a", 1) for p in problems], longest, (END, WORDS.eos))


@torch.no_grad()
def enumerated(of, prefix, ends, longest):
    """Every continuation of a row up to an end or the longest, with its probability, by brute force."""
    found, level = {}, {prefix.ids[0]: 1.0}
    [prompt] = of.prompts(Texts(prefix.problem, ((),), prefix.ended))
    while level:
        deeper = {}
        for ids, p in level.items():
            chances = of.model(torch.tensor([[*prompt, *ids]]))[0, -1].double().softmax(-1).tolist()
            for token, chance in enumerate(chances):
                more = (*ids, token)
                (found if token in ends or len(more) == longest else deeper)[more] = p * chance
        level = deeper
    return found


@pytest.mark.parametrize("ids", [(), (2, END)])
def test_steps_are_drawn_from_the_model(ids):
    of, rows = writer(), 20_000
    prefix = Texts(np.array([1]), (ids,), np.array([False]))
    exact = enumerated(of, prefix, of.ends, LONGEST)
    more = of.step(torch.Generator().manual_seed(0))(prefix.rows(np.zeros(rows, dtype=int)))
    seen = {}
    for row in more.ids:
        seen[row] = seen.get(row, 0) + 1 / rows
    assert sum(exact.values()) == pytest.approx(1, abs=1e-5) and set(seen) <= set(exact)
    assert sum(abs(seen.get(row, 0) - p) for row, p in exact.items()) / 2 < 0.045
    assert (more.ended == [row[-1] == WORDS.eos or len(row) == LONGEST for row in more.ids]).all()


def test_greedy_steps_are_the_greedy_answer():
    of = writer(longest=12)
    prefixes = of.start()
    for _ in range(12):
        going = (~prefixes.ended).nonzero()[0]
        if not len(going):
            break
        done = prefixes.rows(prefixes.ended.nonzero()[0])
        prefixes = of.step(None)(prefixes.rows(going)).together([done])
    prompts = [WORDS.encode(p.prompt) for p in of.problems]
    made = generate(of.model, prompts, max_new_tokens=12, eos=WORDS.eos, pad=WORDS.pad, temperature=0.0)
    wanted = {
        i: tuple(row[:n])
        for i, (row, n) in enumerate(zip(made.ids.tolist(), made.lengths.tolist(), strict=True))
    }
    assert dict(zip(prefixes.problem.tolist(), prefixes.ids, strict=True)) == wanted


def test_rows_keep_their_order_and_their_beginnings():
    of = writer()
    first = of.step(torch.Generator().manual_seed(0))(of.start().rows(np.array([0, 1, 1, 0, 1])))
    again = of.whole(first, torch.Generator().manual_seed(1))
    assert again.problem.tolist() == [0, 1, 1, 0, 1] and again.ended.all()
    assert all(b[: len(a)] == a for a, b in zip(first.ids, again.ids, strict=True))
    back = of_json(to_json(again))
    assert (
        back.ids == again.ids and (back.problem == again.problem).all() and (back.ended == again.ended).all()
    )


def test_rollouts_come_to_the_value(monkeypatch):
    monkeypatch.setattr(labels, "ROLLOUTS", 3000)
    of = writer(problems=("b",))
    found = labels.draw(of, 3, torch.Generator().manual_seed(0))
    assert len(found.prefixes) > 3 and found.prefixes.ended.any() and not found.prefixes.ended.all()
    for i in range(len(found.prefixes)):
        row = found.prefixes.rows(np.array([i]))
        exact = {row.ids[0]: 1.0} if row.ended[0] else enumerated(of, row, (WORDS.eos,), LONGEST)
        value = sum(p for ids, p in exact.items() if of.task.is_right(None, WORDS.decode(ids)))
        assert found.outcomes[i].mean() == pytest.approx(value, abs=0.04)


def test_answers_are_taken_apart_at_their_steps():
    of = writer()
    answers = Texts(np.array([0, 1]), ((2, END, END, 3), (END, 2, WORDS.eos)), np.array([True, True]))
    prefixes, row = by_steps(answers, of)
    assert prefixes.ids == ((2, END), (2, END, END), (2, END, END, 3), (END,), (END, 2, WORDS.eos))
    assert row.tolist() == [0, 0, 0, 1, 1] and prefixes.ended.tolist() == [False, False, True, False, True]
    read = {}

    def score(prefixes, known):
        read["tokens"] = prefixes.tokens - known
        return np.arange(5.0)

    scores = with_scores(answers, of, score).scores
    np.testing.assert_array_equal(scores, [[0, 1, 2], [3, 4, np.nan]])
    assert read["tokens"].sum() == answers.tokens.sum()  # each token of an answer is read once
