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
        ({"d_model": 30}, "d_model 30 must be a multiple of heads, 4"),
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


@pytest.mark.parametrize("layers", [1, 2, 8])
def test_what_a_block_adds_is_smaller_the_more_blocks_there_are(layers):
    """The spread of each kind of weight at the start: 1/√fan-in, and of what is added to the stream 1/√(2·layers) of that."""
    torch.manual_seed(0)
    model = Transformer(Config(vocabulary=500, context=8, d_model=128, d_ff=256, layers=layers))

    def spread(weight):
        return float(weight.detach().std())

    for block in model.blocks:
        for added in (block.project.weight, block.down.weight):
            wanted = (added.shape[1] * 2 * layers) ** -0.5
            assert spread(added) == pytest.approx(wanted, rel=0.03)
        for inner in (block.qkv.weight, block.gate_up.weight):
            assert spread(inner) == pytest.approx(128**-0.5, rel=0.03)
        assert (block.before_attention.weight == 1).all() and (block.before_gate.weight == 1).all()
    assert spread(model.head.weight) == pytest.approx(128**-0.5, rel=0.03)
    assert spread(model.embedding.weight) == pytest.approx(0.02, rel=0.03)


def test_the_base_of_the_rotations_is_that_of_the_config():
    config = Config(vocabulary=5, context=9, rope_theta=50.0)
    turns = Transformer(config).rotations
    slowest = torch.angle(turns[1, 0, -1])
    assert float(slowest) == pytest.approx(50.0 ** -(14 / 16))


def test_operations_of_a_token_are_two_for_each_weight_of_a_product():
    model = Transformer(Config(vocabulary=24, context=64))
    matrices = 24 * 64 + 2 * (
        64 * (4 + 4) * 16 + 64 * 64 + 64 * 384 + 192 * 64
    )  # the head's too, the embedding's not
    assert model.flops_per_token() == 2 * matrices
