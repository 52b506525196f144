"""A student and a teacher from folders of transformers, the student on samples of its own."""

import pytest
import torch

from lab.core.distill.on_policy import check_same_tokens, distill_step, kl_to_teacher
from lab.core.lm.generation import generate
from lab.core.lm.hugging_face import load
from lab.core.lm.scoring import joined
from lab.core.lm.training import adamw

pytest.importorskip("transformers")
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

TOKENS = ("<pad>", "<eos>", *"0123456789")


def saved(folder, seed, width):
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=len(TOKENS), hidden_size=width, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=32, initializer_range=0.3, pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    made = Tokenizer(models.WordLevel({token: i for i, token in enumerate(TOKENS)}, unk_token="<pad>"))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="<eos>"
    )
    tokenizer.save_pretrained(folder)
    return load(folder)


@pytest.mark.parametrize("loss", ["reverse_kl", "token"])
def test_the_student_comes_nearer_where_it_goes(tmp_path, loss):
    student, words = saved(tmp_path / "student", 1, 24)
    teacher, theirs = saved(tmp_path / "teacher", 2, 32)
    check_same_tokens(words, theirs)
    prompts = [words.encode(text) for text in ("1", "23", "4")]
    draws = torch.Generator().manual_seed(0)

    def samples():
        own = generate(
            student, prompts, num_generations=16, max_new_tokens=10, eos=words.eos_ids, pad=words.pad, generator=draws
        )  # fmt: skip
        return joined(prompts, own.ids, own.lengths, words.pad)

    first, optimizer = kl_to_teacher(student, teacher, samples()), adamw(student.parameters(), 1e-2)
    for step in range(1, 26):
        distill_step(student, teacher, samples(), optimizer, loss=loss, step=step)
    assert kl_to_teacher(student, teacher, samples()) < 0.5 * first
