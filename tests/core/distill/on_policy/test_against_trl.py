"""A step beside `GKDTrainer.compute_loss` of TRL, on one model of transformers. Skipped where there is no TRL.

TRL is not among the extras: `pip install -c constraints.txt -e '.[dev]' trl` in an environment of its own, then
`pytest tests/core/distill/on_policy/test_against_trl.py`. Read from and run with TRL 1.16.0: only `compute_loss` runs, on an
object that has the attributes which that method reads. In TRL as in GKD (arXiv:2306.13649, eq. 1) β is the teacher's share of
the mixture; β = 1 is KL(student‖teacher) in TRL, and the limit to which the paper's divergence tends, over 1 − β. At other
temperatures than 1 TRL has no factor T², and its `compute_loss` knows of none.
"""

import copy

import pytest
import torch

from lab.core.distill.on_policy import distill_step

pytest.importorskip("trl")
from trl.experimental.gkd import GKDTrainer


@pytest.mark.parametrize(("loss", "beta"), [("reverse_kl", 1), ("forward_kl", 0), ("jsd", 0.5)])
def test_a_step_is_that_of_gkd(hugging_face_model, sequences, loss, beta):
    student, teacher = hugging_face_model(1), hugging_face_model(2, width=24)
    theirs = copy.deepcopy(student.inner)
    trainer = object.__new__(GKDTrainer)
    trainer.__dict__.update(beta=beta, teacher_model=teacher.inner)
    column = torch.arange(sequences.ids.shape[1])
    before = column < sequences.starts[:, None]
    behind = column >= sequences.ends[:, None]
    batch = {
        "input_ids": sequences.ids,
        "attention_mask": (~behind).long(),
        "labels": sequences.ids.masked_fill(before | behind, -100),
    }
    wanted = trainer.compute_loss(theirs, batch)
    wanted.backward()
    start = copy.deepcopy(student.inner)
    sgd = torch.optim.SGD(student.parameters(), lr=1.0)
    found = distill_step(student, teacher, sequences, sgd, loss=loss, max_grad_norm=1e9)
    assert found["loss"] == pytest.approx(float(wanted.detach()), rel=1e-5)
    named = dict(theirs.named_parameters())
    for (name, old), new in zip(start.named_parameters(), student.inner.parameters(), strict=True):
        torch.testing.assert_close(old - new, named[name].grad, rtol=1e-3, atol=1e-5)
