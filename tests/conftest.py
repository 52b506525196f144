"""What tests of the command line share: the real `lab`, run as a person runs it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing.util import get_temp_dir
from pathlib import Path
from typing import Any

import pytest

KNOWN = Path(__file__).parent / "known" / "known.yaml"
LAB = Path(sys.executable).parent / "lab"

Lab = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session", autouse=True)
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a test must not inherit from whoever started it, nor its children: a timing lock in a temporary folder that
    others use (and a name too long for a socket), a Ctrl-C that is ignored, as behind `nohup`, and a PYTHONPATH."""
    tmp_path_factory.getbasetemp()  # is kept for a look at what failed, so it stays where it is
    usual = Path(tempfile.gettempdir())
    short = usual if len(str(usual)) < 50 else Path("/tmp")
    place = tempfile.mkdtemp(prefix="lab", dir=short)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(short))
        get_temp_dir()  # multiprocessing's, which goes when this process ends, so not inside of what goes before
        patch.setenv("TMPDIR", place)
        patch.setattr(tempfile, "tempdir", None)  # so that it looks again
        patch.delenv("PYTHONPATH", raising=False)
        if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Run `lab ARGUMENTS` in an empty folder of its own; returns the finished process."""

    def run(
        *arguments: str | Path, cwd: Path = tmp_path, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(LAB), *map(str, arguments)],
            cwd=cwd,
            env=os.environ | {"LAB_CACHE": str(tmp_path / "cache")} | environment,
            capture_output=True,
            text=True,
            timeout=240,
        )

    return run


@pytest.fixture
def save_llama() -> Callable[..., Path]:
    """(folder, words, context) to the folder with a random LlamaForCausalLM and a tokenizer of one token per tag and
    character; skips where there is no transformers."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    def save(folder: Path, words: str = "0123456789+-*=,", context: int = 128, **special: str | None) -> Path:
        import torch

        known = ["<pad>", "<s>", "</s>", "<think>", "</think>", "<answer>", "</answer>", *words]
        made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(known)}, unk_token="<pad>"))
        made.pre_tokenizer = pre_tokenizers.Split(Regex(r"</?[a-z]+>|."), "isolated")
        made.decoder = decoders.Fuse()
        tokens = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"} | special
        transformers.PreTrainedTokenizerFast(tokenizer_object=made, **tokens).save_pretrained(folder)
        torch.manual_seed(0)
        config = transformers.LlamaConfig(
            vocab_size=len(known), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=context, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        )  # fmt: skip
        transformers.LlamaForCausalLM(config).save_pretrained(folder)
        return folder

    return save


def read(path: Path) -> Any:
    return json.loads(path.read_text())
