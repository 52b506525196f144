"""Heads, and scorers by name."""

import numpy as np
import pytest
import torch
from tiny import TINY, run

from lab.core.search.model.head import fit, last_states
from lab.core.search.model.params import Params
from lab.core.search.model.scorers import head_key
from lab.core.search.model.searched import ranks
from lab.core.search.prefixes import ScoreError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ratings")


def scorer(folder, body, name="scorer.py"):
    (folder / name).write_text(f"def score(problems, texts):\n    {body}\n")
    return f"{folder / name}:score"


def test_a_head_fits_what_can_be_separated_and_soft_labels():
    states = torch.randn(600, 8, generator=torch.Generator().manual_seed(0)) * 5 + 3
    hard = (states[:, 0] * states[:, 1] > 9).numpy().astype(float)  # not linear
    with torch.no_grad():
        assert ((torch.sigmoid(fit(states, hard, 32, 600, 0)(states)).numpy() > 0.5) == hard).mean() > 0.95
        soft = np.where(states[:, 2] > 3, 0.8, 0.3)
        assert np.abs(torch.sigmoid(fit(states, soft, 32, 600, 0)(states)).numpy() - soft).mean() < 0.05


def test_the_state_is_that_of_the_last_token():
    from test_texts import writer

    model = writer().model
    rows = [[2, 3, 4], [5], [3, 3]]
    for row, state in zip(rows, last_states(model, rows, 0), strict=True):
        torch.testing.assert_close(state, model.hidden(torch.tensor([row]))[0, -1])


def test_heads_are_kept_apart_by_what_they_learn_from():
    keys = [
        head_key(Params(**TINY | {"trap": trap, "head_width": width}), name, labels)
        for name in ("process-1", "process-4", "outcome") for trap in (0.0, 0.5) for width in (8, 16) for labels in ("a", "b")
    ]  # fmt: skip
    assert len(set(keys)) == len(keys)


def test_ranks_is_the_chance_of_the_right_order():
    random = np.random.default_rng(0)
    scores, sound = random.integers(0, 5, 60).astype(float), random.random(60) < 0.4
    pairs = [(a > b) + (a == b) / 2 for a in scores[sound] for b in scores[~sound]]
    assert ranks(scores, sound) == pytest.approx(np.mean(pairs))


@pytest.mark.parametrize("given", ["scores", "implementation"])
def test_a_scorer_of_ones_own_rates(folder, given):
    longer = scorer(folder, "return [len(p.prompt) + len(t) for p, t in zip(problems, texts)]")
    found, context = run(folder, **{given: longer, "budget": 8})
    assert found["score"] > 3 and found["spread"] > 0
    assert "rated" in context.samples[-1][1]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return [0.5] * (len(texts) + 1)", "numbers for"),
        ("return [float('nan')] * len(texts)", "gave NaN"),
        ("return ['high'] * len(texts)", "no number"),
        ("return [-1.0] * len(texts)", "weigh 0 or more"),
    ],
)
def test_what_is_no_rating_is_refused_by_name(folder, body, said):
    file = f"bad{abs(hash(body))}.py"
    with pytest.raises(ScoreError, match=said) as error:
        run(folder, scores=scorer(folder, body, file), choose="weighted-vote")
    assert file in str(error.value)


def test_a_constant_scorer_cannot_rank(folder):
    found, _ = run(folder, scores=scorer(folder, "return [0.5] * len(texts)", "constant.py"))
    assert found["spread"] == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scores": "proces-4"}, "did you mean|Did you mean"),
        ({"scores": "accuracy"}, "for rl only"),
        ({"scores": "oracle", "task": "reverse", "slip_steps": 0}, "task chain only"),
        ({"task": "reverse"}, "make it 0"),
        ({"budget": 9}, "chosen among those drawn"),
        ({"search": "beam", "width": 5}, "M is 5 and N is 4"),
    ],
)
def test_wrong_parameters_get_one_line(changes, said):
    with pytest.raises(ValueError, match=said):
        Params(**TINY | changes)
