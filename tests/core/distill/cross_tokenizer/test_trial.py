"""`lab run kd-cross-tokenizer` on tiny models: every signal, what variants share, and which parameters are refused."""

import math
import subprocess
import sys

import pytest
import torch

from lab.core.distill.cross_tokenizer.models import set_up
from lab.core.distill.cross_tokenizer.signals import COMPLETE, SIGNALS, signal_terms
from lab.core.distill.cross_tokenizer.trial import Params, trial
from tests.core.distill.test_trial import context_in

TINY = {
    "topics": 2, "words": 40, "vocabulary": 60, "columns": 24, "tokens": 10, "documents": 12, "held_out": 6, "d_model": 16,
    "heads": 2, "d_ff": 16, "layers": 1, "steps": 4, "batch": 4, "eval_every": 2, "teacher_d_model": 24, "teacher_heads": 2,
    "teacher_layers": 1, "teacher_d_ff": 16, "teacher_steps": 4, "teacher_batch": 8, "teacher_documents": 32,
}  # fmt: skip


def signal(name):
    return name if name in COMPLETE else f"data+{name}"


@pytest.mark.parametrize("name", SIGNALS)
def test_every_signal_trains_and_is_the_same_again(tmp_path, name):
    context = context_in(tmp_path / "a")
    found = trial(Params(**TINY, signal=signal(name)), context)
    assert all(map(math.isfinite, found.values()))
    assert found["kl_bits"] > 0 and (found["bytes_per_character"] > 0) == (name != "data")
    assert trial(Params(**TINY, signal=signal(name)), context_in(tmp_path / "b")) == found
    [drawing] = [shown for _, shown in context.samples if not isinstance(shown, str)]
    assert drawing.spans  # the sentence that the report draws


def test_variants_of_a_seed_share_weights_order_and_the_teachers_outputs(tmp_path):
    context = context_in(tmp_path / "a")
    students = [
        set_up(Params(**TINY, signal=signal(name)), context).student
        for name in SIGNALS
        if name != "teacher-text"
    ]
    first, *others = students
    batches = [first._next_batch() for _ in range(4)]
    for other in others:
        ours, theirs = first.model.state_dict(), other.model.state_dict()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
        assert torch.equal(first.objective.ids, other.objective.ids)
        assert all(torch.equal(rows, other._next_batch()) for rows in batches)
    assert len(context.made_now) == 4  # the teacher, its outputs, two marginals


def test_every_signal_has_a_finite_loss_that_reaches_every_weight(tmp_path):
    for name in SIGNALS:
        if name in ("teacher-text", "dskd-cma"):  # one has a text of its own, one is scaled by its batch
            continue
        student = set_up(Params(**TINY, signal=signal(name)), context_in(tmp_path / name)).student
        loss = student.objective.loss(student, torch.arange(4))
        loss.backward()
        grads = [p.grad for p in student.model.parameters()]
        assert all(g is not None and g.isfinite().all() for g in grads) and loss.isfinite()


def test_text_of_the_teacher_has_as_many_characters(tmp_path):
    context = context_in(tmp_path / "a")
    own = set_up(Params(**TINY, signal="teacher-text"), context).student.objective
    assert int(own.mask.sum()) == own.text.bytes


def test_a_killed_training_goes_on_to_the_same_figures(tmp_path):
    params = Params(**TINY, signal="data+dskd-cma")
    expected = trial(params, context_in(tmp_path / "through"))

    class Stop(Exception):
        pass

    killed = context_in(tmp_path / "killed")
    record_progress = killed.progress

    def progress(done, of, what=""):
        record_progress(done, of)
        if done == 3 and of == 4 and (killed.folder / "state").exists():
            raise Stop

    killed.progress = progress
    with pytest.raises(Stop):
        trial(params, killed)
    assert trial(params, context_in(tmp_path / "killed")) == expected


def test_parameters_are_read_without_torch():
    line = "import sys, lab.core.distill.cross_tokenizer.trial; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", line], check=False).returncode == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("uldd", "Did you mean uld?"),
        ("uld", "write data+uld"),
        ("data+teacher-text", "it stands alone"),
        ("data+0*uld", "above 0"),
        ("data+uld+uld", "twice"),
    ],
)
def test_a_wrong_signal_is_refused(wrong, message):
    with pytest.raises(ValueError, match="(?s)" + message.replace("+", r"\+").replace("?", r"\?")):
        signal_terms(wrong)


def test_a_text_that_leaves_no_room_is_refused(tmp_path):
    with pytest.raises(ValueError, match="tokens is 22"):
        set_up(Params(**TINY | {"tokens": 22}), context_in(tmp_path / "a"))
