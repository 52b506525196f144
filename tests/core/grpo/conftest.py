"""A tiny policy and a tiny task."""

import pytest
import torch

from lab.core.grpo.tasks import task
from lab.core.lm.model import Config, Transformer


@pytest.fixture(scope="session")
def tiny_task():
    return task("chain", structure="z2", base=(1, 2), train=(1, 3), harder=(4, 5))


@pytest.fixture
def make_model(tiny_task):
    def make(seed=0, task=tiny_task):
        torch.manual_seed(seed)
        return Transformer(
            Config(task.vocabulary.size, 60, d_model=16, layers=1, heads=2, kv_heads=1, d_ff=16)
        )

    return make
