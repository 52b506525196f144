"""A tiny experiment: sums of two or three bits."""

from one_trial import context_in

from lab.core.search.model.params import Params
from lab.core.search.model.trial import trial

TINY = {
    "structure": "z3", "base_depth": (1, 3), "train_depth": (2, 3), "harder_depth": (4, 4), "d_model": 16, "layers": 1,
    "heads": 2, "kv_heads": 1, "d_ff": 16, "base_steps": 40, "base_batch": 32, "slip_steps": 20, "demonstrations": 400,
    "steps": 4, "num_prompts": 4, "num_generations": 4, "eval_every": 2, "eval_problems": 5, "eval_samples": 2, "draws": 8,
    "head_problems": 6, "head_samples": 2, "head_width": 8, "head_steps": 20, "budget": 4,
}  # fmt: skip


def run(folder, seed=0, stop_at=None, **changes):
    """The metrics of a trial, and its context."""
    context = context_in(folder, seed, stop_at)
    return trial(Params(**TINY | changes), context), context
