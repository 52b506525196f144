"""One strategy at one budget, or one training by a rating, through the experiment's door."""

import re
import subprocess
import sys

import pytest
from one_trial import Stop, context_in

from lab.core.grpo.params import task_of
from lab.core.search.model.params import Params
from lab.core.search.model.sampler import base
from lab.core.trial import Refused

from .tiny import TINY, run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("search")


def test_parameters_are_read_without_torch():
    line = "import sys, lab.core.search.model.trial; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", line], check=False).returncode == 0


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"choose": "vote"}, {"choose": "any"}, {"choose": "weighted-vote", "scores": "outcome"}, {"search": "greedy"},
        {"search": "beam", "scores": "oracle"}, {"search": "beam", "ahead": 1, "width": 2, "scores": "process-exact"},
        {"search": "rebase", "scores": "likelihood"}, {"search": "mcts", "width": 2}, {"sampler": "policy", "trap": 1.0},
    ],
)  # fmt: skip
def test_every_strategy_answers_twice_alike(folder, changes):
    found, context = run(folder, **changes)
    assert {
        "right",
        "sound",
        "generated",
        "scored",
        "tokens",
        "right/easy",
        "right/hard",
        "right/hardest",
    } <= set(found)
    assert (
        0 <= found["sound"] <= found["right"] <= 1 and found["tokens"] == found["generated"] + found["scored"]
    )
    assert (found["scored"] > 0) == ("score" in found or changes.get("choose") == "weighted-vote")
    assert run(folder, **changes)[0] == found
    said = [text for _, text in context.samples if isinstance(text, str)]
    assert re.search("  (right|wrong)$", said[-1])


def test_choices_are_among_the_same_answers(folder):
    by = {choose: run(folder, choose=choose, budget=8)[0] for choose in ("best", "vote", "any")}
    assert len({found["generated"] for found in by.values()}) == 1
    assert max(by["best"]["right"], by["vote"]["right"]) <= by["any"]["right"]
    assert by["best"]["generated"] == by["best"]["scored"]
    assert run(folder, choose="any")[0]["generated"] < by["any"]["generated"]


def test_a_killed_training_by_ratings_goes_on_to_the_same_numbers(folder, tmp_path):
    (tmp_path / "cache").symlink_to(folder / "cache")
    run(folder)  # the base model and the head
    whole, context = run(tmp_path, rl=True, learning_rate=0.01)
    (tmp_path / "state").unlink()
    with pytest.raises(Stop):
        run(tmp_path, rl=True, learning_rate=0.01, stop_at=3)
    again, rest = run(tmp_path, rl=True, learning_rate=0.01)
    assert again == whole and min(step for step, _ in rest.records) == 3
    assert {"right", "score", "gain/score", "late/right", "late/score", "length"} <= set(whole)
    scores = [metrics["score"] for _, metrics in context.records if "score" in metrics]
    assert len(set(scores)) == 3  # the policy moves
    assert whole["late/score"] == pytest.approx(scores[2] - scores[1])
    assert run(folder)[0] == run(folder)[0]  # and what was searched did not


@pytest.mark.parametrize(
    "changes", [{}, {"search": "beam", "scores": "likelihood"}, {"search": "mcts", "width": 2}]
)
def test_a_model_of_hugging_faces_is_searched(folder, save_llama, changes):
    pytest.importorskip("transformers")
    if not (model := folder / "llama").exists():
        save_llama(model)
    options = {"structure": "z3", "model": {"hf": model}, "max_completion_length": 20, **changes}
    found, context = run(folder, **options)
    assert 0 <= found["sound"] <= found["right"] <= 1 and found["generated"] > 0
    assert any("rated" in text for _, text in context.samples if isinstance(text, str))
    with pytest.raises(Refused, match="models of ours"):
        run(folder, **options, rl=True)


def test_what_is_kept_of_a_model_of_hugging_faces_is_of_its_files_and_its_task(folder, save_llama, tmp_path):
    pytest.importorskip("transformers")
    save_llama(tmp_path / "one")
    save_llama(tmp_path / "other")
    given = TINY | {"model": {"hf": tmp_path / "one"}, "max_completion_length": 20}

    def key(**changes):
        params = Params(**given | changes)
        return base(params, task_of(params, None), context_in(folder, 0, None))[2]

    assert key() == key(model={"hf": tmp_path / "other"})  # the same files
    assert key() != key(train_depth=(3, 3))
    before = key()
    config = tmp_path / "one" / "config.json"
    config.write_text(config.read_text() + "\n")
    assert key() != before


def test_the_policy_is_what_reward_for_right_answers_comes_to(folder, tmp_path):
    """Whether it was trained for itself, or kept by a training that was watched."""
    options = {"learning_rate": 0.02, "budget": 8}
    alone = run(tmp_path, sampler="policy", **options)[0]
    run(folder, rl=True, scores="accuracy", **options)
    kept = set((folder / "cache").glob("*/policy.pt"))
    assert run(folder, sampler="policy", **options)[0] == alone
    assert kept == set((folder / "cache").glob("*/policy.pt"))  # none was trained again
    assert alone["one"] != run(folder, **options)[0]["one"]
