import pytest
from one_trial import context_in

from lab.core.r1_distill.params import Params
from lab.core.r1_distill.trial import trial

TINY = {
    "structure": "z3", "base_depth": (1, 2), "train_depth": (2, 3), "harder_depth": (4, 5), "also": "reverse", "d_model": 16,
    "layers": 1, "heads": 2, "kv_heads": 1, "d_ff": 16, "base_steps": 100, "base_batch": 32, "demonstrations": 500,
    "steps": 3, "num_prompts": 4, "num_generations": 4, "eval_every": 2, "eval_problems": 4, "eval_samples": 4,
    "teacher_d_model": 24, "teacher_d_ff": 16, "teacher_base_batch": 32, "teacher_window": (0.0, 1.0), "many": 8,
    "tokens": 800, "long": 0.5, "reach": 0.05, "reward": "accuracy", "beta": 0.04,
}  # fmt: skip


@pytest.fixture(scope="session")
def _made(tmp_path_factory):
    """Base model and teacher, made once."""
    return tmp_path_factory.mktemp("r1_distill")


@pytest.fixture
def run(_made):
    """A training by a method: its final figures and its context."""

    def run_it(method, stop_at=None, keep=False, **changes):
        if not keep:
            (_made / "state").unlink(missing_ok=True)
        context = context_in(_made, stop_at=stop_at)
        return trial(Params(**TINY | {"method": method} | changes), context), context

    return run_it
