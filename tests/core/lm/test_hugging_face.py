"""A model and a tokenizer of transformers in place of ours. Skipped where there is no transformers.

`pip install -e '.[dev,hf]'`, then `pytest tests/core/lm/test_hugging_face.py`. Models are random, tiny, and made here.
"""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from lab.core.grpo.config import grpo_config
from lab.core.grpo.rewards import WeightedRewards
from lab.core.grpo.rollout import rollout
from lab.core.grpo.tasks import task
from lab.core.grpo.trainer import make_policy, train_step
from lab.core.lm import generation
from lab.core.lm.generation import generate
from lab.core.lm.hugging_face import load
from lab.core.lm.scoring import joined, log_probs
from lab.core.lm.vocabulary import PAD, TAGS

pytest.importorskip("transformers")
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors

BOS, END = "<s>", "</s>"
WORDS = (PAD, BOS, END, *TAGS, *"01+=,")
PROMPTS = ["1+0=", "1", "0+1+1+0+1=", "0+"]


def tokenizer_of(words=WORDS, pad=PAD, eos=END, bos=BOS):
    """One token per tag and character; `<s>` before a text, as Llama's has it."""
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=words[0]))
    made.pre_tokenizer = pre_tokenizers.Split(Regex(r"</?[a-z]+>|."), "isolated")
    made.decoder = decoders.Fuse()
    if bos:
        made.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, words.index(bos))]
        )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token=pad, eos_token=eos, bos_token=bos
    )


def llama(**changes):
    sizes = {
        "vocab_size": len(WORDS),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "initializer_range": 0.5,  # logits that differ, as a trained one's do
        "eos_token_id": WORDS.index(END),
        "pad_token_id": 0,
        "bos_token_id": 1,
    }
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes | changes))


def gpt2():
    """Learned positions, so that a wrong position is seen."""
    sizes = {"vocab_size": len(WORDS), "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(**sizes, initializer_range=0.2, bos_token_id=1, eos_token_id=2)
    )


def saved(folder, model, tokenizer=None):
    torch.manual_seed(0)
    model = model()
    model.save_pretrained(folder)
    (tokenizer or tokenizer_of()).save_pretrained(folder)
    return folder


@pytest.fixture(params=[llama, gpt2], ids=["llama", "gpt2"])
def folder(request, tmp_path):
    return saved(tmp_path, request.param)


def sampled(model, words, prompts=PROMPTS, **options):
    options = {"num_generations": 6, "max_new_tokens": 20, "temperature": 1.0} | options
    return generate(
        model,
        [words.encode(prompt) for prompt in prompts],
        eos=words.eos,
        pad=words.pad,
        generator=torch.Generator().manual_seed(0),
        **options,
    )


@pytest.mark.parametrize("compact_below", [0.0, 1.0])
def test_log_probs_are_those_of_the_full_forward(folder, monkeypatch, compact_below):
    monkeypatch.setattr(generation, "COMPACT_BELOW", compact_below)
    model, words = load(folder)
    prompts = [words.encode(prompt) for prompt in PROMPTS]
    made = sampled(model, words)
    assert len(set(made.lengths.tolist())) > 2 and bool(made.finished.any())
    found, entropy = log_probs(model, joined(prompts, made.ids, made.lengths, words.pad))
    torch.testing.assert_close(found.detach(), made.log_probs, rtol=0, atol=1e-4)
    torch.testing.assert_close(entropy, made.entropies, rtol=0, atol=1e-4)
    # And those of transformers, each completion alone.
    alone = transformers.AutoModelForCausalLM.from_pretrained(folder)
    for row in range(0, 24, 5):
        length, prompt = int(made.lengths[row]), prompts[row // 6]
        completion = made.ids[row, :length]
        ids = torch.cat([torch.tensor(prompt), completion])[None]
        with torch.no_grad():
            log_p = alone(ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        chosen = log_p.gather(-1, completion[:, None]).squeeze(-1)
        torch.testing.assert_close(made.log_probs[row, :length], chosen, rtol=0, atol=1e-4)


def test_greedy_is_transformers_own(folder):
    model, words = load(folder)
    made = sampled(model, words, temperature=0, num_generations=1)
    alone = transformers.AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, padding_side="left")
    batch = tokenizer(PROMPTS, return_tensors="pt", padding=True)
    wanted = alone.generate(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        do_sample=False,
        max_new_tokens=20,
        pad_token_id=words.pad,
        eos_token_id=words.eos,
    )[:, batch["input_ids"].shape[1] :]
    for row, length in enumerate(made.lengths.tolist()):
        assert made.ids[row, :length].tolist() == wanted[row, :length].tolist()
        assert bool(made.finished[row]) == (words.eos in wanted[row].tolist())
    assert len({tuple(row) for row in made.ids.tolist()}) == len(PROMPTS)


def test_a_step_of_the_trainer(folder):
    model, words = load(folder)
    sums = replace(task("chain", structure="z2", base=(1, 2), train=(1, 3), harder=(4, 5)), vocabulary=words)
    chosen = grpo_config(num_prompts=6, num_generations=4, max_completion_length=12, learning_rate=1e-2)
    rewards = WeightedRewards(
        {"ones": lambda problems, texts: [float(text.count("1") > 1) for text in texts]}
    )
    before = [parameter.detach().clone() for parameter in model.parameters()]
    steps = [
        train_step(make_policy(model, chosen), sums, lambda _: rewards, chosen, seed=3, step=step)
        for step in (1, 2)
    ]
    for step in steps:
        assert step.metrics["sampling/sampling_logp_difference/max"] < 1e-4
        assert step.metrics["grad_norm"] > 0
    assert any(text.endswith("<eos>") for text in steps[0].batch.rollout.texts)
    assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_text_to_ids_and_back(tmp_path):
    _, words = load(saved(tmp_path, llama))
    text = "<think>1+0=1</think><answer>1</answer>"
    ids = words.encode(text)
    assert ids[0] == WORDS.index(BOS) and len(ids) == 1 + 4 + 6  # a tag is one token, and none is put behind
    assert words.size == len(WORDS) and (words.eos, words.pad) == (WORDS.index(END), 0)
    answer = [*ids[1:], words.eos, words.pad, words.pad]
    assert words.decode(answer) == text + "<eos>"
    assert words.decode(answer, keep_eos=False) == text


@pytest.mark.parametrize("pad", [None, END])
def test_a_tokenizer_without_padding_of_its_own(tmp_path, pad):
    model, words = load(saved(tmp_path, llama, tokenizer_of(pad=pad, bos=None)))
    assert words.pad != words.eos and words.encode("1+") == [WORDS.index("1"), WORDS.index("+")]
    assert words.decode([0, words.eos]) == PAD + "<eos>"  # here an ordinary token
    made = sampled(model, words)
    found, _ = log_probs(model, joined([words.encode(p) for p in PROMPTS], made.ids, made.lengths, words.pad))
    torch.testing.assert_close(found.detach(), made.log_probs, rtol=0, atol=1e-4)


MORE = (*WORDS, "<end>", "<stop>")


@pytest.mark.parametrize("pad", [PAD, "<stop>"])
def test_all_ends_of_a_models_own_generation_end_an_answer(tmp_path, pad):
    """Two special tokens beside the tokenizer's, one of which may be its padding as well; a word among them does not count."""
    tokenizer = tokenizer_of(MORE, pad=pad, bos=None)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<end>", "<stop>"]})
    torch.manual_seed(0)
    model = llama(vocab_size=len(MORE))
    ends = [WORDS.index(END), MORE.index("<end>"), MORE.index("<stop>")]
    model.generation_config.eos_token_id = [*ends, WORDS.index("1")]
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model, words = load(tmp_path)
    assert words.eos_ids == tuple(ends) and words.eos == ends[0] and words.pad not in ends
    assert words.decode([MORE.index("1"), ends[1]]) == "1<eos>" == words.decode([MORE.index("1"), ends[0]])
    sums = replace(task("chain", structure="z2", base=(1, 2), train=(1, 3), harder=(4, 5)), vocabulary=words)
    made = rollout(model, sums, sums.problems(np.random.default_rng(0), 20, "train"), num_generations=8,
                   max_completion_length=12, temperature=1.0, generator=torch.Generator().manual_seed(0))  # fmt: skip
    c = made.completions
    last = c.ids[torch.arange(160), c.lengths - 1]
    assert set(last[c.finished].tolist()) == set(ends) and not set(last[~c.finished].tolist()) & set(ends)
    for text, finished in zip(made.texts, c.finished.tolist(), strict=True):
        assert text.endswith("<eos>") == finished and "<eos>" not in text.removesuffix("<eos>")


def sliding():
    sizes = {"vocab_size": len(WORDS), "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1}
    return transformers.MistralForCausalLM(
        transformers.MistralConfig(**sizes, num_attention_heads=4, num_key_value_heads=2, sliding_window=4)
    )


def scaled():
    """Logits that are not just the head of the last states."""
    sizes = {"vocab_size": len(WORDS), "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1}
    return transformers.GraniteForCausalLM(
        transformers.GraniteConfig(**sizes, num_attention_heads=4, num_key_value_heads=2, logits_scaling=8.0)
    )


def looking_ahead():
    sizes = {"vocab_size": len(WORDS), "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1}
    return transformers.BertLMHeadModel(transformers.BertConfig(**sizes, num_attention_heads=4))


@pytest.mark.parametrize(
    "model, message",
    [
        (sliding, "MistralForCausalLM keeps no keys and values, or not those of all tokens"),
        (scaled, "GraniteForCausalLM scores tokens otherwise"),
        (looking_ahead, "can stand in for ours"),
        (lambda: llama(vocab_size=5, eos_token_id=2), "the tokenizer has 12 tokens, the model 5"),
    ],
)
def test_models_that_cannot_stand_in(tmp_path, model, message):
    with pytest.raises(ValueError, match=message):
        load(saved(tmp_path, model))


def test_a_tokenizer_without_an_end(tmp_path):
    with pytest.raises(ValueError, match="the tokenizer has no eos_token"):
        load(saved(tmp_path, llama, tokenizer_of(eos=None)))


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder; a model is a folder"):
        load(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=r"no config\.json in it"):
        load(tmp_path)
    saved(tmp_path, llama)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="transformers cannot load it"):
        load(tmp_path)


def test_too_long_for_the_context(tmp_path):
    model, _ = load(saved(tmp_path, llama))
    with pytest.raises(ValueError, match="65 tokens do not fit into a context of 64"):
        model.hidden(torch.zeros(1, 65, dtype=torch.long))


def test_an_absent_package_is_said(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModuleNotFoundError, match=r"needs the package transformers .*paperlab\[hf\]"):
        load(tmp_path)
