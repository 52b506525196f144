"""A model with each encoding of positions: by kernels as by PyTorch, token by token as at once, and what it refuses."""

import pytest
import torch

from lab.core.compiled.switch import SWITCH
from lab.core.lm.attention_maps import attention_maps
from lab.core.lm.generation import generate
from lab.core.lm.model import Config, Transformer, restored
from lab.core.lm.scoring import joined, log_probs
from lab.core.position import ENCODINGS, Encoding, Sizes, encoding
from lab.core.position.own_places import coupled

GRID, OWN_PLACES = ("axial", "mixed"), ("randomised", "random-start", "coupled")
NAMES = [name for name in ENCODINGS if name not in GRID]
GENERATING = [name for name in NAMES if name not in OWN_PLACES]


def made(name, kv_heads=2, **changes):
    """Not as training begins: what is learned is far from its first values."""
    config = Config(12, 40, d_model=32, layers=2, heads=4, kv_heads=kv_heads, d_ff=24, trained=40, **changes)
    torch.manual_seed(0)
    given = coupled(config.sizes, separators=[9, 10]) if name == "coupled" else encoding(name, config.sizes)
    model = Transformer(config, given)
    with torch.no_grad():
        for parameter in model.position.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
        for scaled in (model.embedding.weight, *(block.qkv.weight for block in model.blocks)):
            scaled.mul_(3)
    return model


def token_ids(rows=3, length=23):
    return torch.randint(2, 12, (rows, length), generator=torch.Generator().manual_seed(2))


def without_positions(model, ids):
    plain = restored(model.state(), model.encoding)
    plain.set_encoding(Encoding())
    return plain.hidden(ids)


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize("name", NAMES)
def test_kernels_compute_what_pytorch_does(name, kv_heads, monkeypatch):
    pytest.importorskip("numba")
    model, ids = made(name, kv_heads), token_ids()
    weights = torch.randn(3, 23, 32, generator=torch.Generator().manual_seed(3))
    found = []
    for switch in ("1", "0"):
        monkeypatch.setenv(SWITCH, switch)
        torch.manual_seed(5)  # of the positions that training draws
        assert model.by_kernels(ids) == (switch == "1")
        hidden = model.hidden(ids)
        model.zero_grad()
        (hidden * weights).sum().backward()
        found.append(
            (hidden.detach(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
        )
    (by_kernels, gradients), (by_pytorch, expected) = found
    torch.testing.assert_close(by_kernels, by_pytorch, rtol=1e-4, atol=1e-4)
    assert gradients.keys() == expected.keys()
    for n, of in expected.items():
        assert (gradients[n] - of).norm() <= 1e-4 * of.norm() + 1e-6, n
    if name != "none":
        torch.manual_seed(5)
        assert (without_positions(model, ids) - by_pytorch).abs().max() > 1e-2


@pytest.mark.parametrize("name", GENERATING)
def test_generation_gives_the_log_probs_of_the_full_forward(name):
    """Prompts of several lengths, padded on the left: what is added to an embedding must not count the padding."""
    model, prompts = made(name), [[3, 4, 5], [6], [7, 8, 9, 10, 3, 4], [5, 5]]
    completions = generate(
        model,
        prompts,
        num_generations=3,
        max_new_tokens=20,
        eos=1,
        pad=0,
        generator=torch.Generator().manual_seed(0),
    )
    found, _ = log_probs(model, joined(prompts, completions.ids, completions.lengths, 0))
    torch.testing.assert_close(found.detach(), completions.log_probs, rtol=0, atol=2e-4)
    for row, (length, ids) in enumerate(zip(completions.lengths.tolist(), completions.ids, strict=True)):
        text = torch.tensor([[*prompts[row // 3], *ids[:length].tolist()]])
        log_p = model(text)[0].log_softmax(-1)[-length - 1 : -1].gather(1, text[0, -length:, None])[:, 0]
        torch.testing.assert_close(log_p.detach(), completions.log_probs[row, :length], rtol=0, atol=2e-4)


@pytest.mark.parametrize("name", OWN_PLACES)
def test_generation_refuses_what_needs_the_whole_text(name):
    with pytest.raises(ValueError, match="depends on the whole text"):
        generate(
            made(name, position=name if name != "coupled" else "rope"),
            [[3, 4]],
            max_new_tokens=2,
            eos=1,
            pad=0,
        )


@pytest.mark.parametrize("name", GRID)
def test_a_text_is_no_grid(name):
    with pytest.raises(ValueError, match="on a grid"):
        made(name)


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_maps_are_those_that_the_model_uses(name):
    model, ids = made(name), token_ids()
    outputs, values = [], []
    for block in model.blocks:
        block.project.register_forward_pre_hook(lambda _, inputs: outputs.append(inputs[0]))
        block.qkv.register_forward_hook(lambda _, inputs, out: values.append(out.view(3, 23, 8, 8)[:, :, 6:]))
    maps = attention_maps(model, ids)
    for of_layer, o, v in zip(maps, outputs, values, strict=True):
        seen = of_layer @ v.transpose(1, 2).repeat_interleave(2, 1)
        torch.testing.assert_close(seen.transpose(1, 2).flatten(2), o, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_comes_back_from_its_state(name):
    model = made(name)
    again = restored(
        model.state(), encoding(name, model.config.sizes) if name != "coupled" else model.encoding
    )
    with torch.no_grad():
        torch.testing.assert_close(again.hidden(token_ids()), model.hidden(token_ids()))


def test_other_weights_do_not_depend_on_the_encoding():
    def weights(name):
        torch.manual_seed(0)
        model = Transformer(Config(12, 40, position=name))
        return {n: p for n, p in model.named_parameters() if not n.startswith("position.")}

    for name in ("learned", "t5", "none"):
        for key, of_rope in weights("rope").items():
            assert torch.equal(weights(name)[key], of_rope)


def test_what_is_learned_is_trained_and_counts_no_operations():
    model = Transformer(Config(12, 40, position="learned"))
    assert "position.added.weight" in dict(model.named_parameters())
    assert model.flops_per_token() == Transformer(Config(12, 40, position="none")).flops_per_token()


@pytest.mark.parametrize("kernels", ["1", "0"])
def test_a_table_says_where_it_ends(kernels, monkeypatch):
    monkeypatch.setenv(SWITCH, kernels)
    model = Transformer(Config(12, 40, position="learned", trained=20))
    model.hidden(token_ids(length=20))
    with pytest.raises(ValueError, match="learned has vectors of 20 positions: 20 has none"):
        model.hidden(token_ids(length=21))


def test_an_odd_head_has_no_pairs_to_turn_but_may_go_without():
    with pytest.raises(ValueError, match="head_dim is 3; pairs are turned"):
        Transformer(Config(12, 40, d_model=12, heads=4))
    model = Transformer(Config(12, 40, d_model=12, heads=4, position="alibi"))
    assert model.hidden(token_ids()).isfinite().all()


def test_another_encoding_after_training():
    """As DroPE and YaRN do: the same weights, told otherwise."""
    model, ids = made("rope"), token_ids()
    before = model.hidden(ids)
    model.set_encoding(encoding("rope-yarn", Sizes(32, 4, 40, 10)))
    other = model.hidden(ids)
    assert (other - before).abs().max() > 1e-2
    model.set_encoding(encoding("rope", model.config.sizes))
    torch.testing.assert_close(model.hidden(ids), before)


def test_a_wrong_name_is_told_the_nearest():
    with pytest.raises(ValueError, match="no position encoding alibbi. Did you mean alibi?"):
        Transformer(Config(12, 40, position="alibbi"))
