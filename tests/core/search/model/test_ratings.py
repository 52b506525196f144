"""Heads, and scorers by name."""

import numpy as np
import pytest
import torch

from lab.core.search.model.head import Read, fit, read
from lab.core.search.model.params import Params
from lab.core.search.model.scorers import head_key
from lab.core.search.model.searched import ranks
from lab.core.search.prefixes import ScoreError
from lab.core.trial import Refused

from .tiny import TINY, run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ratings")


def scorer(folder, body, name="scorer.py"):
    (folder / name).write_text(f"def score(problems, texts):\n    {body}\n")
    return f"{folder / name}:score"


def test_a_head_fits_what_can_be_separated_and_soft_labels():
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 7, (800,), generator=generator)
    tokens = torch.randn(800, 6, 8, generator=generator) * 5 + 3
    tokens *= (torch.arange(6) < lengths[:, None])[..., None]
    seen = Read(tokens, lengths)
    # Whether any token is unlike the others, wherever it stands; and how likely the last one makes it.
    there = torch.arange(6) < lengths[:, None]
    hard = ((tokens[..., 0] > 10) & there).any(1).numpy().astype(float)
    found = torch.sigmoid(fit(seen, hard, 32, 600, 0)(seen)).detach().numpy()
    assert 0.2 < hard.mean() < 0.5 and ((found > 0.5) == hard).mean() > 0.95
    soft = np.where(tokens[torch.arange(800), lengths - 1, 2] > 3, 0.8, 0.3)
    found = torch.sigmoid(fit(seen, soft, 32, 600, 0)(seen)).detach().numpy()
    assert np.abs(found - soft).mean() < 0.06


def test_what_a_head_reads_is_what_the_model_computes():
    from .test_texts import writer

    model = writer().model
    prompts, prefixes = [[2, 3], [5], [5]], [[4], [3, 3, 2], [2, 4]]
    seen = read(model, prompts, prefixes, 0)
    assert seen.lengths.tolist() == [1, 3, 2]
    for prompt, prefix, features in zip(prompts, prefixes, seen.tokens, strict=True):
        hidden = model.hidden(torch.tensor([prompt + prefix]))[0].detach()
        log_p = model.logits(hidden).detach().log_softmax(-1)
        for i, token in enumerate(prefix):
            before = log_p[len(prompt) + i - 1]
            entropy = -(before.exp() * before).sum()
            wanted = torch.cat([hidden[len(prompt) + i], before[token, None], entropy[None]])
            torch.testing.assert_close(features[i], wanted, rtol=1e-4, atol=1e-5)
        assert not features[len(prefix) :].any()
    # A row is rated the same beside longer ones.
    head = fit(seen, np.array([0.0, 1.0, 0.0]), 8, 5, 0)
    with torch.no_grad():
        torch.testing.assert_close(head(seen)[2:], head(seen.rows(torch.tensor([2]))))


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
        ("return [float('nan')] * len(texts)", "gave nan for '"),
        ("return [float('-inf')] * len(texts)", "gave -inf for '"),
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
    ],
)
def test_wrong_parameters_get_one_line(changes, said):
    with pytest.raises(ValueError, match=said):
        Params(**TINY | changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"budget": 9}, "chosen among those drawn"),
        ({"search": "beam", "width": 5}, "M is 5 and N is 4"),
    ],
)
def test_a_budget_that_cannot_be_kept_to_is_refused_before_anything_is_trained(tmp_path, changes, said):
    with pytest.raises(Refused, match=said):
        run(tmp_path, **changes)
    assert not any((tmp_path / "cache").iterdir())
