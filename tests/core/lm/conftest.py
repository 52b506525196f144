"""Small models."""

import pytest
import torch

from lab.core.lm.model import Config, Transformer


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_model():
    def make(seed=0, **changes):
        torch.manual_seed(seed)
        sizes = {
            "vocabulary": 11,
            "context": 40,
            "d_model": 32,
            "layers": 2,
            "heads": 4,
            "kv_heads": 2,
            "d_ff": 48,
        }
        model = Transformer(Config(**sizes | changes))
        with torch.no_grad():  # as a trained one: logits that differ, norms that are not 1
            for parameter in model.parameters():
                parameter.mul_(1 + torch.rand_like(parameter))
        return model

    return make
