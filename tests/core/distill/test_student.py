"""One step of a student is the same with one core as with two, whatever its objective."""

import pytest
import torch

from lab.core.distill.losses.sparse import sampled_targets, top_k_targets
from lab.core.distill.objective import Objective
from lab.core.distill.output_file import open_outputs, write
from lab.core.distill.student import Student
from lab.core.lm.model import Config, Transformer
from lab.core.lm.training import Recipe

VOCABULARY, COLUMNS, DOCUMENTS, BATCH = 20, 9, 12, 5
CONFIG = Config(VOCABULARY, COLUMNS, d_model=16, layers=1, heads=2, kv_heads=2, d_ff=32)


@pytest.fixture(scope="module")
def teacher_outputs(tmp_path_factory):
    random = torch.Generator().manual_seed(1)
    log_p = torch.randn(DOCUMENTS, COLUMNS - 1, VOCABULARY, generator=random).log_softmax(-1)
    forms = {
        "soft": log_p,
        "top-k": top_k_targets(log_p, 4),
        "sampled": sampled_targets(log_p, 6, generator=random),
    }
    found = {}
    for name, output in forms.items():
        path = tmp_path_factory.mktemp("teacher") / name
        write(path, [output])
        found[name] = open_outputs(path)
    return found


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def student_of(teacher_outputs, weights):
    ids = torch.randint(VOCABULARY, (DOCUMENTS, COLUMNS), generator=torch.Generator().manual_seed(2))
    states = torch.randn(DOCUMENTS * (COLUMNS - 1), 8, generator=torch.Generator().manual_seed(3)).numpy()
    objective = Objective(ids, weights, teacher_outputs, states, None, CONFIG, rest="truth")
    torch.manual_seed(0)
    return Student(Transformer(CONFIG), Recipe(steps=4, batch=BATCH), objective, 0)


@pytest.mark.parametrize(
    "weights",
    [
        {"soft": 1.0},
        {"data": 1.0, "soft": 0.5},
        {"top-k": 1.0},
        {"sampled": 2.0},
        {"data": 1.0, "feature": 0.5},
    ],
    ids="+".join,
)
def test_two_cores_learn_what_one_learns(teacher_outputs, threads, weights):
    losses, gradients = [], []
    for cores in (1, 2):
        threads(cores)
        student = student_of(teacher_outputs, weights)
        rows = torch.tensor([3, 0, 11, 7, 5])  # in pieces that are not of one size
        losses.append(student.backward(rows))
        gradients.append([p.grad for p in student.model.parameters()])
        assert torch.get_num_threads() == cores
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-7)


def test_a_student_on_two_cores_goes_on_to_the_same_bits(teacher_outputs, threads):
    threads(2)
    whole, first, second = (student_of(teacher_outputs, {"soft": 1.0}) for _ in range(3))
    for _ in range(2):
        whole.learn(), first.learn()
    second.restore(first.state())
    assert [whole.learn() for _ in range(2)] == [second.learn() for _ in range(2)]
    for a, b in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(a, b)
