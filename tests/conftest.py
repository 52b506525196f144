"""What tests of the command line share: the real `lab`, run as a person runs it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing.util import get_temp_dir
from pathlib import Path
from typing import Any

import forked_lab
import pytest
from hypothesis import settings

# No test asserts a time, and Hypothesis's 200 ms an example would be one.
settings.register_profile("lab", deadline=None)
settings.load_profile("lab")

KNOWN = Path(__file__).parent / "known" / "known.yaml"

Lab = Callable[..., subprocess.CompletedProcess[str]]

FIRST = [
    "cli/test_grpo", "softmax/test_every_kernel", "attention/test_backends", "cli/test_run",
    "softmax/test_triton", "attention/test_flash_triton", "cli/test_adversity", "cli/test_training",
    "cli/test_looking", "cli/test_kd_cross_tokenizer", "cli/test_grpo_user_functions", "tasks/test_chain",
    "run/test_processes", "cli/test_settling", "r1_stages/test_stages",
]  # fmt: skip
"""The files that take longest, each half a minute or more. Those of the first line compile what many others load."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A process that began one of `FIRST` last would work on when the others have nothing left to do."""
    place = {name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: place.get(f"{item.path.parent.name}/{item.path.stem}", len(FIRST)))


@pytest.fixture(scope="session", autouse=True)
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a test must not inherit from whoever started it, nor its children: a timing lock in a temporary folder that
    others use (and a name too long for a socket), a Ctrl-C that is ignored, as behind `nohup`, and a PYTHONPATH."""
    tmp_path_factory.getbasetemp()  # is kept for a look at what failed, so it stays where it is
    usual = Path(tempfile.gettempdir())
    short = usual if len(str(usual)) < 50 else Path("/tmp")
    temporary = tempfile.mkdtemp(prefix="lab", dir=short)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(short))
        get_temp_dir()  # multiprocessing's, which goes when this process ends, so not inside of what goes before
        patch.setenv("TMPDIR", temporary)
        patch.setattr(tempfile, "tempdir", None)  # so that it looks again
        patch.delenv("PYTHONPATH", raising=False)
        patch.setenv(
            "LAB_PRODUCTS", "pytorch"
        )  # nothing is compared on a busy machine, unless a test asks for it
        if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
    shutil.rmtree(temporary, ignore_errors=True)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Run `lab ARGUMENTS` in an empty folder of its own; returns the finished process."""

    def run(
        *arguments: str | Path, cwd: Path = tmp_path, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return forked_lab.lab(cwd, *arguments, **{"LAB_CACHE": forked_lab.own_cache(tmp_path)} | environment)

    return run


TIMED = """
name: known
title: Times that are known
question: Is what stands in the files what everyone reads?
sources: {made: {title: These very files, ref: "https://example.org/a|b"}}
trial: ./known_trial.py
params: {factor: 1.0}
axes: {size: [1, 2, 4]}
variants: {base: {}, twice: {factor: 0.5}, wrong: {}, refusing: {}}
baseline: base
repeats: 6
metrics:
  time: {unit: ms, better: lower, kind: timed}
  error: {better: lower, kind: counted}
  steps: {better: lower, kind: counted}
  throughput: {unit: GFLOP/s, better: higher, kind: timed}
plots:
  - {x: size, y: time, scale: log-log}
  - {x: size, y: time / baseline, scale: log-x}
  - {x: variant, y: steps}
claims:
  - id: twice
    says: Half the work takes half the time.
    source: made, by construction
    paper: 2
    measure: {ratio: time, of: base, over: twice, where: {size: 4}}
    expect: {between: [1.9, 2.1]}
  - id: linear
    says: Steps grow with the size.
    source: made, by construction
    measure: {exponent: steps, of: base, over: size}
    expect: {between: [0.99, 1.01]}
  - id: of-wrong
    says: What is wrong is not judged.
    source: ours
    measure: {value: time, of: wrong, where: {size: 1}}
    expect: {at_least: 1}
summary: "At size {size.max} twice takes {time: twice / base} of the time."
"""


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with a finished run of a timing and of a training experiment, written by lab's own functions with
    figures that are known: `twice` takes half the time of `base`. Copy it before you change it."""
    from lab.core.experiment.load import load
    from lab.core.run.context import TrialContext
    from lab.core.run.opening import create, release
    from lab.core.run.plan import plan
    from lab.core.run.process import finish
    from lab.core.trial import Cut, TwoCuts

    folder = tmp_path_factory.mktemp("stored")
    shutil.copy(KNOWN.with_name("known_trial.py"), folder)
    (folder / "known.yaml").write_text(TIMED)
    results = folder / "results"
    facts = {"preset": None, "full": True, "label": "", "command": "lab run known", "params": {}}
    facts |= {"device": "cpu", "threads": 1, "workers": 1}
    environment = {"cpu": "A processor", "device": "cpu", "threads": 1, "packages": {"torch": "2.13.0"}}
    for file in (folder / "known.yaml", KNOWN.with_name("learning.yaml")):
        loaded = load(str(file))
        run = create(results, loaded, facts, environment)
        for trial in plan(loaded):
            made = run.of(trial)
            made.mkdir()
            ending: dict[str, Any] = {"status": "ok", "reason": "", "seconds": 0.5}
            if trial.variant in ("wrong", "refusing", "diverging"):
                status = {"refusing": "refused", "diverging": "failed"}.get(trial.variant, "wrong")
                ending |= {"status": status, "reason": f"{trial.variant} by construction"}
            elif trial.kind == "check":
                ending["metrics"] = {"error": 0.0, "steps": 7.0 * trial.point["size"]}
                ending |= {
                    "work": {},
                    "memory": {"allocated": 8, "resident": 8, "agrees": True},
                    "kernel": "",
                }
            elif trial.kind == "peaks":
                ending["metrics"] = {"matmul_gflops": 50.0, "copy_gb_per_s": 10.0}
            elif trial.kind == "time":
                seconds = 1e-3 * trial.point["size"] * (1 + 0.01 * (trial.replicate % 3))
                names = {"base": 1.0, "base again": 1.0, "twice": 0.5}
                ending["samples"] = {name: [share * seconds] * 5 for name, share in names.items()}
                ending["work"] = {name: {"bytes": 1e6, "operations": 1e6} for name in ("base", "twice")}
            else:
                context = TrialContext(trial.variant, trial.replicate, "cpu", 1, made, made)
                rate = 0.5 if trial.variant == "plain" else 0.0
                for step in range(6):
                    context.record(step=step, loss=(1 + 0.1 * trial.replicate) * (1 - rate) ** step)
                context.sample(5, f"{trial.variant} said so")
                cut = Cut(name="letters", ends=(1, 2))
                context.sample(5, TwoCuts(title="Twice", text="ab", above=cut, below=cut, spans=(1, 2)))
                ending["metrics"] = {"final": 1 - rate + 0.01 * trial.replicate, "resumed": 0.0}
            finish(made, trial, ending)
        run.update(status="finished", seconds=3.0, counts={"planned": len(plan(loaded))})
        release(run)
    return results


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
