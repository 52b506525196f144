"""The transformer: what it may see, what its parts compute, and that the cache changes nothing."""

import math

import pytest
import torch

from lab.core.lm.model import Config, Transformer, restored


def test_no_token_sees_a_later_one(make_model):
    model = make_model()
    ids = torch.randint(0, 11, (2, 12))
    changed = ids.clone()
    changed[:, 7:] = (changed[:, 7:] + 1) % 11
    before, after = model(ids), model(changed)
    assert torch.equal(before[:, :7], after[:, :7])
    assert not torch.allclose(before[:, 7:], after[:, 7:])


def test_one_layer_by_hand(make_model):
    """Every line of the definition written out for one row, without grouping, batching or fused weights."""
    model = make_model(layers=1)
    config, block = model.config, model.blocks[0]
    ids = torch.tensor([3, 1, 4, 1, 5])
    x = model.embedding.weight[ids]

    def norm(x, gain):
        return x / (x.square().mean(-1, keepdim=True) + torch.finfo(x.dtype).eps).sqrt() * gain

    def turn(x, position):  # pairs (2i, 2i + 1) as complex numbers times e^{i·position·θ_i}
        theta = config.rope_theta ** (-torch.arange(0, len(x), 2) / len(x))
        z = torch.complex(x[::2], x[1::2]) * torch.exp(1j * position * theta)
        return torch.stack([z.real, z.imag], -1).flatten()

    h = norm(x, block.before_attention.weight) @ block.qkv.weight.T
    width = config.head_dim
    outputs = []
    for head in range(config.heads):
        shared = head // (config.heads // config.kv_heads)
        q, k, v = (
            h[:, at * width : (at + 1) * width]
            for at in (head, config.heads + shared, config.heads + config.kv_heads + shared)
        )
        q, k = (torch.stack([turn(row, i) for i, row in enumerate(x)]) for x in (q, k))
        rows = []
        for i in range(len(ids)):
            p = torch.softmax(q[i] @ k[: i + 1].T / math.sqrt(width), -1)
            rows.append(p @ v[: i + 1])
        outputs.append(torch.stack(rows))
    x = x + torch.cat(outputs, -1) @ block.project.weight.T
    gate, up = (norm(x, block.before_gate.weight) @ block.gate_up.weight.T).chunk(2, -1)
    x = x + (gate * torch.sigmoid(gate) * up) @ block.down.weight.T
    expected = norm(x, model.norm.weight) @ model.head.weight.T
    torch.testing.assert_close(model(ids[None])[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("backend", ["standard", "flash", "short", "sdpa"])
def test_the_backend_of_attention_changes_nothing(make_model, backend):
    ids = torch.randint(0, 11, (3, 20))
    torch.testing.assert_close(make_model(backend=backend)(ids), make_model()(ids), rtol=1e-4, atol=1e-5)


def test_a_cache_changes_nothing(make_model):
    model = make_model()
    ids = torch.randint(0, 11, (3, 14))
    cache = model.empty_cache(3, 14)
    parts = [model(ids[:, :6], cache)] + [model(ids[:, i : i + 1], cache) for i in range(6, 14)]
    torch.testing.assert_close(torch.cat(parts, 1), model(ids), rtol=1e-4, atol=1e-5)


def test_a_restored_model_is_the_same(make_model, tmp_path):
    model = make_model()
    torch.save(model.state(), tmp_path / "model.pt")
    again = restored(torch.load(tmp_path / "model.pt", weights_only=True))
    ids = torch.randint(0, 11, (2, 9))
    assert torch.equal(model(ids), again(ids)) and again.config == model.config


@pytest.mark.parametrize(
    "sizes, message",
    [
        ({"d_model": 30}, "d_model 30 must be an even multiple of heads, 4"),
        ({"d_model": 12}, "even multiple"),
        ({"kv_heads": 3}, "heads 4 must be a multiple of kv_heads, 3"),
    ],
)
def test_sizes_that_do_not_fit(sizes, message):
    with pytest.raises(ValueError, match=message):
        Config(vocabulary=5, context=5, **sizes)


def test_a_context_that_is_full_says_so(make_model):
    with pytest.raises(ValueError, match="41 tokens do not fit into a context of 40"):
        make_model()(torch.zeros(1, 41, dtype=torch.long))


def test_the_parameters_are_counted_once():
    model = Transformer(Config(vocabulary=24, context=64))
    assert (
        model.parameter_count
        == 2 * 24 * 64 + 2 * (64 * (4 + 4) * 16 + 64 * 64 + 64 * 384 + 192 * 64 + 2 * 64) + 64
    )
