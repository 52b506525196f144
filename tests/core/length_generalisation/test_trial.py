"""One arm at one length through the experiment's door: figures, what is trained once, what is refused."""

import subprocess
import sys

import pytest
import torch
from one_trial import context_in

from lab.core.length_generalisation.arms import arm_of, config_of, encoding_of
from lab.core.length_generalisation.params import ARMS, TASKS, Params
from lab.core.length_generalisation.tasks import task
from lab.core.length_generalisation.training import model_with, trained
from lab.core.length_generalisation.trial import trial
from lab.core.position.names import GRID, NAMES
from lab.core.trial import Refused

TINY = {
    "trained": 3, "lengths": [3, 6], "length": 3, "symbols": 2, "d_model": 16, "layers": 1, "heads": 2, "d_ff": 16,
    "steps": dict.fromkeys(TASKS, 12), "batch": 16, "checkpoints": 3, "selection": 8, "problems": 20,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("length")


def run(folder, name, seed=0, **changes):
    context = context_in(folder, seed)
    return trial(Params(implementation=name, **TINY | changes), context), context


def parts(folder, name, **changes):
    """The params, the task and what is trained of an arm."""
    params = Params(implementation=name, **TINY | changes)
    its = task(params.task, params.symbols, params.judged_at[-1])
    return params, its, trained(arm_of(name), params, its, context_in(folder))


def test_parameters_are_read_without_torch():
    line = "import sys, lab.core.length_generalisation.trial; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", line], check=False).returncode == 0


def test_every_encoding_of_a_text_is_an_arm():
    assert set(NAMES) - set(GRID) <= set(ARMS)


@pytest.mark.parametrize("name", ARMS)
def test_every_arm_is_measured_twice_alike(folder, name):
    of = {"task": "addition"} if name == "coupled" else {}
    found, context = run(folder, name, **of)
    assert {
        "right",
        "token",
        "loss",
        "learnt",
        "factor",
        "right/log_n",
        "right/best_factor",
        "beyond_half/right",
    } <= set(found)
    assert 0 <= found["right"] <= found["token"] <= 1 and found["learnt"] == (found["right"] > 0.9)
    assert found["right/log_n"] == found["right"]  # at the trained length the factor is 1
    assert ("attended" in found) == (name != "coupled")
    is_derived = name in ("rope-pi", "rope-ntk", "rope-yarn")
    assert ("best/right" in found) == (not is_derived)
    assert ("steps" in found) == (not is_derived and name not in ("drope", "rope-longer"))
    steps = [step for step, figures in context.records if "step/right" in figures]
    assert steps == ([] if is_derived else [1, 2] if name in ("drope", "rope-longer") else [4, 8, 12])
    attention = [figures["attention"] for _, figures in context.records if "attention" in figures]
    assert len(attention) > 6 and all(0 <= share <= 1 for share in attention)
    assert context.samples[0][1].endswith(("  right", "  wrong"))
    assert run(folder, name, **of)[0] == found


@pytest.mark.parametrize("name", TASKS)
def test_every_task_beyond_the_trained_length(folder, name):
    found, _ = run(folder, "alibi", task=name, length=6)
    assert found["eroded"] == pytest.approx(found["best/right"] - found["right"])
    inside, _ = run(folder, "alibi", task=name)
    half = found["token/best_factor"] - (found["token"] + inside["token"]) / 2
    assert found["beyond_half/token"] == pytest.approx(half) and found["factor"] == inside["factor"]
    assert found["lost"] == pytest.approx(inside["token"] - found["token"]) and inside["lost"] == 0
    assert found["more_loss"] == pytest.approx(found["loss"] - inside["loss"], rel=1e-4)


def test_a_learned_table_is_refused_beyond_its_rows(folder):
    run(folder, "learned")
    with pytest.raises(Refused, match=r"undefined beyond 3: learned has vectors of 8 positions"):
        run(folder, "learned", length=6)


def test_one_training_serves_all_lengths_and_what_is_derived(folder, tmp_path):
    begun = context_in(tmp_path)
    for name in ("rope", "rope-pi", "rope-yarn"):
        for length in (3, 6):
            trial(Params(implementation=name, **TINY | {"length": length}), begun)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    for name, more in (("drope", 1), ("rope-longer", 2)):  # each trained on from that one
        trial(Params(implementation=name, **TINY), begun)
        assert len(list((tmp_path / "cache").iterdir())) == 1 + more
    trial(Params(implementation="rope", **TINY | {"theta": 100.0}), begun)
    assert len(list((tmp_path / "cache").iterdir())) == 4


def test_what_is_stretched_is_rope_where_texts_are_no_longer_than_in_training(folder):
    rope, longer = run(folder, "rope")[0], run(folder, "rope", length=6)[0]
    for name in ("rope-pi", "rope-ntk", "rope-yarn"):
        assert run(folder, name)[0]["loss"] == pytest.approx(rope["loss"], rel=1e-5)
        assert run(folder, name, length=6)[0]["loss"] != pytest.approx(longer["loss"], rel=1e-5)
        by_one = run(folder, name, length=6, factor=1.0)[0]
        assert by_one["loss"] == pytest.approx(longer["loss"], rel=1e-5)


def test_stretched_angles_of_the_longest_text_are_those_of_training():
    params = Params(implementation="rope-pi", **TINY | {"length": 6})
    its = task("copy", 2, 6)
    tokens, seen = its.tokens(6), its.tokens(3)
    rope, pi = (encoding_of(name, params, its, None, 6).rotation for name in ("rope", "rope-pi"))
    at = torch.tensor([tokens])
    torch.testing.assert_close(
        pi(at), rope(torch.tensor([float(seen)], dtype=torch.float64)).to(torch.complex64)
    )


def test_all_arms_begin_with_the_same_weights_and_dropped_positions_with_those_of_rope(folder):
    states = [
        parts(folder, name, learning_rate=1e-12, matrix_learning_rate=1e-12)[2].last
        for name in ("none", "t5", "random-start", "rope", "drope")
    ]
    for state in states[1:]:
        for name, value in states[0].items():
            torch.testing.assert_close(state[name], value)


def test_dropped_positions_leave_a_model_without_any(folder):
    params, its, after = parts(folder, "drope")
    _, _, before = parts(folder, "rope")
    assert any(not torch.equal(after.last[name], value) for name, value in before.last.items())
    model = model_with(after.last, encoding_of("none", params, its, None), params, its)
    assert model.encoding.rotation is None and config_of(params, its).position == "none"
    assert [each.step for each in after.curve] == [1, 2]


def test_the_best_checkpoint_is_the_best_of_the_curve(folder):
    from lab.core.length_generalisation.evaluation import score
    from lab.core.length_generalisation.training import SELECTION, problems

    params, its, found = parts(
        folder, "alibi", steps=dict.fromkeys(TASKS, 60), task="count", learning_rate=0.02
    )
    for length in (3, 6):
        model = model_with(found.best[length], encoding_of("alibi", params, its, None), params, its)
        scored = score(model, problems(params, its, 0, SELECTION, length))
        assert (scored.right, scored.token) == max(each.scored[length] for each in found.curve)
    last = model_with(found.last, encoding_of("alibi", params, its, None), params, its)
    assert score(last, problems(params, its, 0, SELECTION, 3)).token == found.curve[-1].scored[3][1]


def test_counting_without_positions_is_learnt_in_range(folder):
    steps = dict.fromkeys(TASKS, 250)
    found, _ = run(folder, "none", task="count", steps=steps, d_model=32, layers=2, batch=32)
    assert found["right"] > 0.9 and found["steps"] < 250 and found["learnt"] == 1


MINE = """
from lab.core.position import Encoding, Sizes
import torch
def halved(sizes):
    slopes = torch.full((sizes.heads,), 0.5)
    return Encoding(slopes=slopes)
def odd(sizes):
    return Encoding(slopes=torch.ones(7))
"""


def test_your_own_encoding(folder, tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    found, _ = run(folder, f"{tmp_path}/mine.py:halved", length=6)
    assert 0 <= found["token"] <= 1
    with pytest.raises(ValueError, match=r"odd\.slopes gave the shape 7, not 2"):
        run(folder, f"{tmp_path}/mine.py:odd")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"implementation": "rope", "d_model": 18}, "d_model is 18; it must be an even multiple of its 2 heads"),
        ({"implementation": "drope", "d_model": 18}, "d_model is 18; it must be an even multiple"),
        ({"implementation": "rop"}, "no position encoding rop. Did you mean rope?"),
        ({"implementation": "axial"}, "axial: it tells places on a grid, and a text has one axis"),
        ({"implementation": "coupled"}, "coupled: digits of one worth share a position, and copy has no numbers"),
        ({"implementation": "rope-pi", "factor": 0}, "greater than 0"),
        ({"implementation": "rope", "factor": 2}, "factor means nothing to rope: it is of rope-pi, rope-ntk, rope-yarn"),
        ({"length": 0}, "greater than or equal to 1"),
        ({"lengths": [3, 0]}, "lengths has 0; a text has at least 1 item"),
        ({"length": 5}, "length is 5, where no checkpoint is judged: lengths, trained and its double are 3, 6"),
        ({"steps": {"copi": 3}}, "steps: no task copi. Did you mean copy?"),
        ({"steps": {"count": 3}}, "steps says nothing of copy"),
        ({"task": "copi"}, "'copy', 'count'"),
    ],
)  # fmt: skip
def test_mistakes_are_named(changes, message):
    with pytest.raises(ValueError) as error:
        Params(**TINY | changes)
    assert message in str(error.value)
