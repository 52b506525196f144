"""Models and sequences of a vocabulary of eleven tokens."""

import pytest
import torch

from lab.core.lm.model import Config, Transformer
from lab.core.lm.scoring import Sequences

V = 11


@pytest.fixture
def model():
    def make(seed, dtype=torch.float32, backend="auto", vocabulary=V, **sizes):
        torch.manual_seed(seed)
        sizes = {"d_model": 16, "layers": 2, "heads": 2, "kv_heads": 1, "d_ff": 24} | sizes
        made = Transformer(Config(vocabulary, context=24, backend=backend, **sizes))
        with torch.no_grad():
            made.head.weight.mul_(3)  # distributions that differ
        return made.double() if dtype == torch.float64 else made

    return make


@pytest.fixture
def hugging_face_model():
    """Of transformers, with random weights."""
    transformers = pytest.importorskip("transformers")
    from lab.core.lm import hugging_face

    def make(seed, width=16):
        torch.manual_seed(seed)
        config = transformers.LlamaConfig(
            vocab_size=V, hidden_size=width, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=1, max_position_embeddings=24, initializer_range=0.5, pad_token_id=0,
        )  # fmt: skip
        inner = transformers.LlamaForCausalLM(config)
        return hugging_face.Model(inner, hugging_face.Config(V, 24, 2, 1, width // 2))

    return make


@pytest.fixture
def sequences():
    """Nine completions of three prompts, one of them empty."""
    draw = torch.Generator().manual_seed(0)
    prompts = torch.arange(9) // 3
    starts = torch.tensor([3, 5, 1])[prompts]
    lengths = torch.randint(0, 8, (9,), generator=draw)
    lengths[:2] = torch.tensor([7, 0])
    ids = torch.randint(V, (9, 14), generator=draw)
    for row in range(9):
        ids[row, : starts[row]] = ids[row // 3 * 3, : starts[row]]
    return Sequences(ids[:, : int((starts + lengths).max())], starts, lengths, prompts)
