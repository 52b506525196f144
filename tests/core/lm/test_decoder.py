"""The compiled step of sampling beside PyTorch's operations: the same tokens for the same noise, the same logits to rounding."""

import pytest
import torch

pytest.importorskip("numba")

from lab.core.compiled.switch import SWITCH
from lab.core.lm import generation
from lab.core.lm.decoder import weights_for_decoding
from lab.core.lm.generation import generate
from lab.core.lm.not_finite import NotFinite
from lab.core.lm.scoring import joined, log_probs

PAD, EOS = 0, 1
PROMPTS = [[3, 4, 2], [4], [2, 3, 4, 3, 4, 2, 2], [2, 2]]


def both(model, monkeypatch, prompts=PROMPTS, seed=0, **options):
    """Sampled by the compiled step, then by PyTorch."""
    options = {"num_generations": 5, "max_new_tokens": 20, "eos": EOS, "pad": PAD} | options
    made = []
    for switch in ("1", "0"):
        monkeypatch.setenv(SWITCH, switch)
        assert (weights_for_decoding(model) is not None) == (switch == "1")
        made.append(generate(model, prompts, generator=torch.Generator().manual_seed(seed), **options))
    return made


def assert_same(found, wanted):
    """The same tokens: noise is the same, and these seeds have no tie within rounding."""
    assert torch.equal(found.ids, wanted.ids) and torch.equal(found.lengths, wanted.lengths)
    assert torch.equal(found.finished, wanted.finished)
    torch.testing.assert_close(found.log_probs, wanted.log_probs, rtol=0, atol=2e-5)
    torch.testing.assert_close(found.entropies, wanted.entropies, rtol=0, atol=2e-5)


SIZES = [
    {"d_model": 32, "heads": 4, "kv_heads": 2},
    {"d_model": 36, "heads": 3, "kv_heads": 3, "d_ff": 50},
    {"d_model": 36, "heads": 3, "kv_heads": 1, "d_ff": 7, "vocabulary": 5},
    {"d_model": 128, "heads": 4, "kv_heads": 1, "d_ff": 401, "layers": 1},
    {"d_model": 128, "heads": 2, "kv_heads": 2, "vocabulary": 2000},
    {"d_model": 60, "heads": 6, "kv_heads": 2, "vocabulary": 67, "layers": 3},
]


@pytest.mark.parametrize("sizes", SIZES, ids=lambda sizes: "-".join(map(str, sizes.values())))
def test_the_same_tokens_as_pytorch(make_model, monkeypatch, sizes):
    """Prompts of several lengths, completions that end at different steps, heads and widths that fill no vector."""
    found, wanted = both(make_model(**sizes), monkeypatch)
    assert len(set(found.lengths.tolist())) > 1 or sizes.get("vocabulary") == 2000
    assert_same(found, wanted)


@pytest.mark.parametrize("compact_below", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_whatever_is_dropped_when(make_model, monkeypatch, compact_below, temperature):
    monkeypatch.setattr(generation, "COMPACT_BELOW", compact_below)
    assert_same(*both(make_model(), monkeypatch, temperature=temperature, eos=[EOS, 4]))


@pytest.mark.parametrize(
    "prompts, group", [([[3]], 1), ([[3, 2]], 3), ([[2] * 35, [3] * 33], 17), (PROMPTS * 7, 5)]
)
def test_any_number_of_rows(make_model, monkeypatch, prompts, group):
    """One, three, and more than go through the layers at a time; longer and more tokens than a block of columns."""
    model = make_model(context=80)
    assert_same(*both(model, monkeypatch, prompts, num_generations=group, max_new_tokens=41))


def test_log_probs_are_those_of_float64(make_model, monkeypatch):
    model = make_model(d_model=48, heads=4, kv_heads=2, vocabulary=23)
    with torch.no_grad():
        model.embedding.weight.mul_(50)  # beside them RMSNorm's ε, which is the dtype's, is nothing
    found, _ = both(model, monkeypatch, temperature=0.8)
    exact, entropy = log_probs(model.double(), joined(PROMPTS, found.ids, found.lengths, PAD), 0.8)
    torch.testing.assert_close(found.log_probs.double(), exact.detach(), rtol=0, atol=2e-5)
    torch.testing.assert_close(found.entropies.double(), entropy, rtol=0, atol=2e-5)


def test_on_two_cores(make_model, monkeypatch, two_threads):
    assert_same(*both(make_model(), monkeypatch))


def test_a_model_without_probabilities_is_refused(make_model, monkeypatch):
    monkeypatch.setenv(SWITCH, "1")
    for weight in ("head.weight", "blocks.1.down.weight", "embedding.weight", "blocks.0.before_gate.weight"):
        model = make_model()
        with torch.no_grad():
            model.get_parameter(weight)[:] = float("nan")
        with pytest.raises(NotFinite):
            generate(model, PROMPTS, max_new_tokens=5, eos=EOS, pad=PAD)


def test_large_gates_are_no_infinities(make_model, monkeypatch):
    """silu of ±10⁴: e^(10⁴) is none of float32's numbers."""
    model = make_model()
    with torch.no_grad():
        model.blocks[0].gate_up.weight.mul_(3e3)
        model.blocks[0].down.weight.div_(3e6)
    assert_same(*both(model, monkeypatch))


def test_what_the_step_lacks_is_sampled_by_pytorch(make_model, monkeypatch):
    monkeypatch.setenv(SWITCH, "1")
    assert weights_for_decoding(make_model()) is not None
    assert weights_for_decoding(make_model().double()) is None
    assert weights_for_decoding(make_model(backend="standard")) is None
    with torch.autocast("cpu"):
        assert weights_for_decoding(make_model()) is None
    assert all(weights_for_decoding(changed) is None for changed in changed_models(make_model))


def changed_models(make_model):
    """With a hook on a module, or a method that is another."""
    for name in ("embedding", "blocks.1.qkv", "norm", "head"):
        model = make_model()
        model.get_submodule(name).register_forward_hook(lambda *_: None)
        yield model
    for name in ("hidden", "logits", "blocks.0.forward", "head.forward"):
        model, (*inside, method) = make_model(), name.split(".")
        module = model.get_submodule(".".join(inside))
        setattr(module, method, getattr(module, method))
        yield model
