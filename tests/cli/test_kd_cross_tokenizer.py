"""Given teachers and students with different tokenizers, through the real command line."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Lab = Callable[..., subprocess.CompletedProcess[str]]
LETTERS = "abdefgiklmnoprstu "
YAML = """
name: tokens
title: Other tokens
question: Do given models teach and learn?
trial: distill/cross_tokenizer
params: {PARAMS, topics: 2, words: 40, vocabulary: 60, columns: 24, tokens: 8, documents: 8, held_out: 4, steps: 2, batch: 4,
  eval_every: 1, d_model: 16, heads: 2, d_ff: 16, teacher_steps: 2, teacher_documents: 16, teacher_d_model: 16, teacher_heads: 2}
variants: {data: {}, uld: {signal: data+uld}, words: {signal: data+alm-words}}
baseline: data
seeds: 1
metrics: {excess_bits: {kind: trained}}
"""


@pytest.fixture
def byte_level(save_llama: Callable[..., Path]) -> Callable[[Path], Path]:
    """A random Llama with a byte-level BPE tokenizer."""
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    def save(folder: Path) -> Path:
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=300, special_tokens=["<pad>", "<s>", "</s>"], initial_alphabet=alphabet
        )
        made.train_from_iterator(["ka to ka rumi to sane lo"] * 20, trainer)
        names = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
        transformers.PreTrainedTokenizerFast(tokenizer_object=made, **names).save_pretrained(folder)
        torch.manual_seed(0)
        config = transformers.LlamaConfig(
            vocab_size=made.get_vocab_size(), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
        )  # fmt: skip
        transformers.LlamaForCausalLM(config).save_pretrained(folder)
        return folder

    return save


def test_given_models_teach_and_learn(
    tmp_path: Path, lab: Lab, save_llama: Callable[..., Path], byte_level: Callable[[Path], Path]
) -> None:
    byte_level(tmp_path / "teacher")
    save_llama(tmp_path / "student", LETTERS, 256)
    experiment = tmp_path / "tokens.yaml"
    experiment.write_text(YAML.replace("PARAMS", "model: {hf: ./student}, teacher: {hf: ./teacher}"))
    done = lab("run", experiment, "--workers", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    found = [json.loads(path.read_text()) for path in tmp_path.glob("results/tokens/*/trials/*/trial.json")]
    assert len(found) == 3 and all(trial["status"] == "ok" for trial in found), found
    assert all("kl_bits" not in t["metrics"] and t["metrics"]["excess_bits"] > 0 for t in found)

    experiment.write_text(experiment.read_text().replace("data+uld", "exact-marginal"))
    done = lab("validate", experiment)
    assert done.returncode == 2 and "do not spell the teacher's token" in done.stderr, done.stderr

    for wrong, said in {
        "model: {hf: ./nowhere}": "no such file or folder: ./nowhere",
        "teacher: ./teacher": "is no model; write it as {hf: ./folder}",
    }.items():
        experiment.write_text(YAML.replace("PARAMS", wrong))
        done = lab("validate", experiment)
        assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr, done.stderr
    save_llama(tmp_path / "student", "0123456789", 256)
    experiment.write_text(YAML.replace("PARAMS", "model: {hf: ./student}"))
    done = lab("validate", experiment)
    assert done.returncode == 2 and "does not align" in done.stderr and "Traceback" not in done.stderr, (
        done.stderr
    )
