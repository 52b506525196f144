"""Banks of networks: each learns as it would alone, from what it is meant to see."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from one_trial import context_in

from lab.core.incentivize.optimizers import adam, sgd
from lab.core.incentivize.skills.networks import Bank, bank, loss, score
from lab.core.incentivize.skills.params import Params
from lab.core.incentivize.skills.parity import parities
from lab.core.incentivize.skills.training import _batches, evaluated_at, trained
from lab.core.incentivize.skills.trial import arrives, trial

TINY = {
    "skills": 2,
    "skill_bits": 2,
    "bits": 6,
    "width": 16,
    "steps": 40,
    "batch": 32,
    "evaluations": 6,
    "eval_samples": 50,
}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_parameters_are_read_without_torch():
    line = "import sys, lab.core.incentivize.skills.trial; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", line], check=False).returncode == 0


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(sgd, lambda w: torch.optim.SGD(w, lr=0.1)), (adam, lambda w: torch.optim.Adam(w, lr=0.1))],
)
def test_optimizers_are_those_of_torch(ours, theirs):
    mine, other = (
        torch.randn(4, 3, generator=generator(), dtype=torch.float64).requires_grad_() for _ in range(2)
    )
    step, optimizer = ours([mine]), theirs([other])
    for _ in range(20):
        for w in (mine, other):
            (w**4 - w).sum().backward()
        step(0.1)
        optimizer.step()
        optimizer.zero_grad()
    assert torch.allclose(mine, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("sizes", [[3, 5, 8]])
def test_a_narrower_network_of_a_bank_learns_as_it_would_alone(sizes, tmp_path):
    params = Params(**TINY | {"over": "width", "sizes": sizes})
    together = trained(params, context_in(tmp_path, 0))
    for i, size in enumerate(sizes[:-1]):
        # The same widest network, so that the same weights are drawn.
        other = trained(params.model_copy(update={"sizes": [size, 8]}), context_in(tmp_path, 0))
        assert together.strength[-1, i] == pytest.approx(other.strength[-1, 0], abs=1e-4)


def test_units_that_a_network_lacks_change_nothing():
    networks = bank([2, 4], 3, 1, 0.5, generator())
    x = torch.randn(7, 3, generator=generator(1))
    before = networks.outputs(x)
    weights = [w.detach().clone() for w in networks.weights]
    weights[0][0, :, 2:], weights[2][0, 2:] = 9.0, 9.0
    after = Bank(tuple(weights), networks.units).outputs(x)
    assert torch.equal(before[0], after[0])
    assert not torch.equal(before[0], before[1])


def test_the_loss_of_teaching_has_a_term_for_each_part():
    outputs = torch.tensor([[[1.0, 0.0, 2.0]]], requires_grad=True)
    labels, every = torch.tensor([[1.0, -1.0, 1.0]]), torch.ones(1)
    # Half of (1 − 2)² + (0 + 2)² + (2 − 2)² with S = 2; the whole alone is the last.
    assert float(loss(outputs, labels, every, 2.0)) == pytest.approx(2.5)
    assert float(loss(outputs[..., -1:], labels[..., -1:], every, 2.0)) == 0
    (gradient,) = torch.autograd.grad(loss(outputs, labels, every, 2.0), outputs)
    assert gradient.tolist() == [[[-1.0, 2.0, 0.0]]]


def test_strength_accuracy_and_bits_by_hand():
    strength, right, bits = score(torch.tensor([[2.0, -1.0, 0.0]]), torch.tensor([1.0, 1.0, 1.0]), 2.0)
    assert strength.item() == pytest.approx(1 / 6) and right.item() == pytest.approx(1 / 3)
    # Probabilities 1 (held at 0.999), 1/4 and 1/2.
    assert bits.item() == pytest.approx((-np.log2(0.999) + 2 + 1) / 3, rel=1e-4)


def one_batch(**changes):
    params = Params(**TINY | changes)
    task = parities(params.skills, params.skill_bits, params.bits, generator())
    return next(_batches(params, task, generator(1)))


def test_a_specialist_sees_its_skill_only():
    inputs, _, taught = one_batch(sees="it alone")
    asked = inputs[..., :2].argmax(-1)
    assert inputs.shape[:2] == (2, 32) and (asked == torch.tensor([[0], [1]])).all() and (taught == 1).all()
    inputs, labels, taught = one_batch(sees="its share")
    everyone = one_batch()
    assert torch.equal(inputs, everyone[0]) and torch.equal(labels, everyone[1])  # the generalist's samples
    asked = inputs[:, :2].argmax(-1)
    assert torch.equal(taught[..., 0], torch.stack([asked == 0, asked == 1]).float())


def test_samples_of_others_leave_no_trace_in_a_specialist():
    networks = bank([4, 4], 8, 1, 0.3, generator())
    inputs, labels, taught = one_batch(sees="its share")
    loss(networks.outputs(inputs), labels[..., -1:], taught, 1.0).backward()
    gradient = networks.weights[0].grad
    assert (gradient[0, 1] == 0).all() and (gradient[1, 0] == 0).all()  # control bits of the other skill
    assert (gradient[0, 0] != 0).any() and (gradient[1, 1] != 0).any()


def test_so_many_samples_of_data_and_no_others():
    inputs, _, _ = one_batch(over="data", sizes=[3, 1000], batch=500)
    assert len({tuple(row) for row in inputs[0].tolist()}) <= 3
    assert len({tuple(row) for row in inputs[1].tolist()}) > 30


def test_arrivals_between_evaluations():
    at = np.array([0, 10, 100])
    assert arrives(at, np.array([0.0, 0.0, 1.0]), 0.5) == (pytest.approx(10**1.5), 1.0)
    assert arrives(at, np.array([0.0, 0.7, 1.0]), 0.5) == (10.0, 1.0)
    assert arrives(at, np.array([0.0, 0.1, 0.2]), 0.5) == (100.0, 0.0)


def test_evaluations_end_with_the_last_step():
    assert evaluated_at(1000, 5)[0] == 0 and evaluated_at(1000, 5)[-1] == 1000


def test_skills_are_learnt_and_trained_once(tmp_path):
    longer = TINY | {"steps": 600, "learning_rate": 0.01, "width": 32}
    found = [trial(Params(**longer, skill=k), context_in(tmp_path, 0)) for k in (1, 2)]
    assert all(each["right"] > 0.95 and each["arrived"] == 1 and each["bits"] < 0.3 for each in found)
    assert found[0]["strength"] != found[1]["strength"]
