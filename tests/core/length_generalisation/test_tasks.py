"""What a text asks for, worked out again from the text alone."""

import numpy as np
import pytest

from lab.core.length_generalisation.params import TASKS, Params
from lab.core.length_generalisation.tasks import ASK, END, FIRST, PLUS, task
from lab.core.length_generalisation.training import texts_of_training


def drawn(name, items, texts=50):
    made = task(name, symbols=8, longest=20)
    return made, made.draw(np.random.default_rng(3), items, texts)


def rows(texts):
    for ids, source in zip(texts.ids.tolist(), texts.source.tolist(), strict=True):
        yield ids[: texts.start], ids[texts.start :], source


@pytest.mark.parametrize("items", [1, 2, 7, 20])
@pytest.mark.parametrize("name", ["copy", "count"])
def test_a_text_is_said_again(name, items):
    _, texts = drawn(name, items)
    for prompt, answer, _ in rows(texts):
        assert prompt[-1] == ASK and answer == [*prompt[:-1], END] and len(prompt) == items + 1
        assert name == "copy" or len(set(prompt[:-1])) == 1
    assert len({tuple(row) for row in texts.ids.tolist()}) > 4  # the texts of one draw differ


@pytest.mark.parametrize("items", [1, 2, 7, 20])
def test_induction_goes_on_from_the_one_place_where_a_token_stands(items):
    _, texts = drawn("induction", items)
    begun = set()
    for prompt, answer, _ in rows(texts):
        said, cue = prompt[:-2], prompt[-1]
        assert len(said) == len(set(said)) == items + 1 and prompt[-2] == ASK
        at = said.index(cue)
        begun.add(at)
        assert answer == said[at + 1 : at + 1 + len(answer)] and len(answer) == (items + 1) // 2
    assert len(begun) == items // 2 + 1  # every place from which enough follows


@pytest.mark.parametrize("items", [1, 2, 7, 20])
def test_retrieval_gives_the_values_of_keys(items):
    _, texts = drawn("retrieval", items)
    for prompt, answer, _ in rows(texts):
        value_of = dict(zip(prompt[:-2:2], prompt[1:-2:2], strict=True))
        asked = [prompt[-1], *answer[1::2]]
        assert len(value_of) == items and len(set(asked)) == len(asked) == (items + 1) // 2
        assert [value_of[key] for key in asked] == answer[::2]
    assert texts.counts.tolist() == [i % 2 == 0 for i in range(len(texts.counts))]


@pytest.mark.parametrize("items", [1, 2, 7, 20])
def test_addition_adds(items):
    made, texts = drawn("addition", items)

    def number(ids):
        return sum((token - FIRST) * 10**place for place, token in enumerate(ids))

    for prompt, answer, _ in rows(texts):
        a, b = prompt[:items], prompt[items + 1 : -1]
        assert prompt[items] == PLUS and prompt[-1] == ASK and answer[-1] == END
        assert number(a) + number(b) == number(answer[:-1]) and len(b) == items and len(answer) == items + 2
    assert made.written(np.array([FIRST + 4, FIRST + 7, PLUS, FIRST, ASK, FIRST + 1, END])) == "47+0>1$"


@pytest.mark.parametrize("name", TASKS)
def test_the_key_that_holds_an_answer_holds_it(name):
    made, texts = drawn(name, 9)
    assert texts.source.shape == (50, texts.ids.shape[1] - texts.start)
    some = 0
    for prompt, answer, source in rows(texts):
        for token, column in zip(answer, source, strict=True):
            if column >= 0:
                some += 1
                assert (prompt + answer)[column] == token and column < texts.start
    assert (some == 0) == (name in ("count", "addition"))
    assert int(texts.ids.max()) < made.vocabulary and made.tokens(9) == texts.ids.shape[1]


@pytest.mark.parametrize("name", TASKS)
def test_each_length_of_training_is_as_frequent_and_every_text_is_one_of_the_task(name):
    params = Params(task=name, implementation="none", trained=5, lengths=[5], length=5, symbols=8)
    made = task(name, params.symbols, params.judged_at[-1])
    data = texts_of_training(np.random.default_rng(0), params, made, 2000)
    again = texts_of_training(np.random.default_rng(0), params, made, 2000)
    assert data.ids.equal(again.ids) and len(data.ids) == 2000
    starts, counts = data.starts.unique(return_counts=True)
    of_length = {made.draw(np.random.default_rng(0), n, 1).start: n for n in range(1, 6)}
    assert [of_length[int(start)] for start in starts] == [1, 2, 3, 4, 5]
    assert counts.sub(400).abs().max() < 90  # five standard deviations
    for row in range(0, 2000, 97):
        n = of_length[int(data.starts[row])]
        assert int(data.ends[row]) == made.tokens(n)
        assert (data.ids[row, : made.tokens(n)] > 0).all() and not data.ids[row, made.tokens(n) :].any()
