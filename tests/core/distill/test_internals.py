"""Hidden states, queries, keys, values and attention maps are those of the model's own forward pass."""

import pytest
import torch

from lab.core.distill.internals import hidden_states_and_qkv, queries_keys_values
from lab.core.distill.losses import attention_transfer, minilm_relations
from lab.core.lm.attention_maps import maps_of
from lab.core.lm.model import Config, Transformer


@pytest.fixture(params=[4, 2])
def model(request):
    torch.manual_seed(0)
    return Transformer(Config(20, 12, d_model=32, layers=2, heads=4, kv_heads=request.param, d_ff=24))


@pytest.fixture
def ids():
    return torch.randint(20, (3, 9), generator=torch.Generator().manual_seed(1))


def test_states_are_those_of_a_plain_pass_and_nothing_stays_hooked(model, ids):
    hidden, qkv = hidden_states_and_qkv(model, ids)
    torch.testing.assert_close(hidden, model.hidden(ids))  # which kernels may compute: they call no hook
    assert qkv.shape == (3, 9, 4 + 2 * model.config.kv_heads, 8)
    assert not model.blocks[-1].qkv._forward_hooks


def test_maps_times_values_are_what_the_block_projects(model, ids):
    inputs_of_project = []
    model.blocks[-1].project.register_forward_pre_hook(lambda _, inputs: inputs_of_project.append(inputs[0]))
    _, qkv = hidden_states_and_qkv(model, ids)
    maps = maps_of(qkv, model.config, model.encoding)
    _, _, v = queries_keys_values(qkv, model.config)
    o = maps @ v.repeat_interleave(4 // model.config.kv_heads, 1)
    torch.testing.assert_close(o.transpose(1, 2).flatten(2), inputs_of_project[0])
    torch.testing.assert_close(maps.sum(-1), torch.ones(3, 4, 9))
    assert maps.triu(1).abs().max() == 0


def test_losses_of_heads_are_0_at_the_teacher_and_reach_the_student(model, ids):
    _, qkv = hidden_states_and_qkv(model, ids)
    parts = queries_keys_values(qkv, model.config)
    other = [torch.randn_like(x) for x in parts]
    assert minilm_relations(parts, parts, relation_heads=4, causal=True).item() == pytest.approx(0, abs=1e-6)
    maps = maps_of(qkv, model.config, model.encoding)
    assert attention_transfer(maps, maps, kind="kl").item() == pytest.approx(0, abs=1e-6)
    apart = minilm_relations(parts, other, relation_heads=4, causal=True)
    apart = apart + attention_transfer(maps, maps.roll(1, 1), kind="kl")
    (gradient,) = torch.autograd.grad(apart, model.blocks[-1].qkv.weight)
    assert gradient.isfinite().all() and gradient.abs().max() > 0
