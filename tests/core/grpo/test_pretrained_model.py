"""A pretrained model of transformers instead of a base model, and what is refused. Skipped without transformers.

`pip install -e '.[dev,hf]'`, then `pytest tests/core/grpo/test_pretrained_model.py`.
"""

import sys
from pathlib import Path

import pytest

from lab.core.experiment.load import validate
from lab.core.experiment.mistakes import Mistakes
from lab.core.grpo.base_model import NoBaseModel
from lab.core.grpo.pretrained_model import check_window
from lab.core.grpo.trial import Params, trial
from lab.core.run.context import TrialContext
from lab.core.run.files import read_lines
from lab.core.run.plan import params_of, plan

pytest.importorskip("transformers")

TINY = {
    "structure": "z2", "base_depth": (1, 2), "train_depth": (1, 3), "harder_depth": (4, 5), "steps": 3, "num_prompts": 4,
    "num_generations": 4, "eval_every": 2, "eval_problems": 4, "eval_samples": 4,
}  # fmt: skip


def trained(folder, model, **changes):
    (folder / "trial").mkdir(exist_ok=True)
    context = TrialContext("v", 0, "cpu", 1, folder / "trial", folder)
    return trial(Params(**TINY | {"model": {"hf": model}} | changes), context), context


@pytest.fixture
def no_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_it_is_trained_and_no_base_model_is(tmp_path, save_llama, no_cache):
    folder = save_llama(tmp_path / "tiny")
    (tmp_path / "mine.py").write_text(
        "def ones(problems, texts): return [text.count('1') for text in texts]\n"
    )
    final, context = trained(
        tmp_path, folder, reward=f"{tmp_path}/mine.py:ones", beta=0.1, learning_rate=1e-2
    )
    assert final["base/rejected"] == 0 and not no_cache.exists()
    steps = [row for row in read_lines(tmp_path / "trial" / "records.jsonl") if "grad_norm" in row]
    assert len(steps) == 3 and all(row["grad_norm"] > 0 for row in steps) and steps[-1]["kl"] > 0
    # Left out: the longest demonstration, 6 * 5 + 5 tokens of ours and of this tokenizer alike.
    assert steps[0]["completions/max_length"] == 35 and steps[0]["completions/clipped_ratio"] > 0
    import safetensors.torch

    before = safetensors.torch.load_file(folder / "model.safetensors")["lm_head.weight"]
    after = context.restore()["policy"]["model"]["inner.lm_head.weight"]
    assert 1e-3 < (after - before).abs().max() < 0.1


def test_killed_it_goes_on_to_the_same_figures(tmp_path, save_llama, monkeypatch):
    folder = save_llama(tmp_path / "tiny")
    for name in ("through", "killed"):
        (tmp_path / name).mkdir()
    expected, _ = trained(tmp_path / "through", folder)

    class Stop(Exception):
        pass

    def stopping(self, step=None, **metrics):
        if step == 3:
            raise Stop

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(TrialContext, "record", stopping)
        trained(tmp_path / "killed", folder)
    found, context = trained(tmp_path / "killed", folder)
    assert context.restore()["step"] == 3 and found == expected


def test_outside_of_the_window_it_is_refused(tmp_path, save_llama):
    folder = save_llama(tmp_path / "tiny")
    with pytest.raises(
        NoBaseModel, match=r"tiny: right when sampled: 0\.00; the window is 0\.3 to 0\.9\. No signal"
    ):
        trained(tmp_path, folder, window=(0.3, 0.9))
    assert not any("grad_norm" in row for row in read_lines(tmp_path / "trial" / "records.jsonl"))
    with pytest.raises(
        NoBaseModel, match=r"right when sampled: 0\.95; the window is 0\.3 to 0\.9\. No headroom"
    ):
        check_window((0.3, 0.9), 0.95, folder)
    check_window((0.3, 0.9), 0.9, folder)


YAML = """
name: given
title: A given model
question: Is it refused?
trial: grpo
params: {structure: z2, base_depth: [1, 2], train_depth: [1, 3], harder_depth: [4, 5]}
variants:
  ours: {}
  theirs: {model: {hf: ./tiny}}
baseline: ours
seeds: 1
metrics: {reward: {kind: trained}}
"""


def mistake(folder, monkeypatch, change=("", "")):
    """The one mistake of the file, without the folder."""
    monkeypatch.chdir(folder)
    (folder / "given.yaml").write_text(YAML.replace(*change))
    with pytest.raises(Mistakes) as caught:
        validate(Path("given.yaml"))
    return str(caught.value).replace(f"{folder}/", "")


def test_a_good_one_is_fine(tmp_path, save_llama, monkeypatch):
    save_llama(tmp_path / "tiny")
    (tmp_path / "given.yaml").write_text(YAML)
    loaded = validate(tmp_path / "given.yaml")
    assert params_of(loaded, "theirs", {})["model"] == {"hf": str(tmp_path / "tiny")}
    assert len(plan(loaded)) == 2  # a seed of each variant


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (
            {"context": 40},
            "tiny: prompts of about 12 tokens and answers of 35 do not fit into its context of 40; set "
            "max_completion_length to 28 or less",
        ),
        ({"context": 8}, "tiny: prompts of about 12 tokens and answers of 35 do not fit into its context of 8; choose"),
        ({"words": "01=,"}, "tiny: the tokenizer cannot write the task's text: '"),
        ({"eos_token": None}, "tiny: the tokenizer has no eos_token, so that no answer could end"),
    ],
)  # fmt: skip
def test_a_model_that_does_not_fit_is_refused_when_the_file_is_read(
    tmp_path, save_llama, monkeypatch, made, message
):
    save_llama(tmp_path / "tiny", **made)
    found = mistake(tmp_path, monkeypatch)
    assert found.startswith(f"given.yaml:9:3: {message}") and "\n" not in found


def test_a_shorter_answer_makes_it_fit(tmp_path, save_llama):
    folder = save_llama(tmp_path / "tiny", context=40)
    with pytest.raises(ValueError, match="set max_completion_length to 28 or less"):
        trained(tmp_path, folder)
    trained(tmp_path, folder, max_completion_length=28, steps=1)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("{hf: ./tyni}", "given.yaml:9:20: no such file or folder: ./tyni"),
        ("./tiny", "given.yaml:9:12: model: './tiny' is no model; write it as {hf: ./folder}"),
        ("{huggingface: ./tiny}", "given.yaml:9:12: model: {'huggingface': './tiny'} is no model; write it as {hf: ./folder}"),
        ("{hf: 3}", "given.yaml:9:12: model: {'hf': 3} is no model; write it as {hf: ./folder}"),
    ],
)  # fmt: skip
def test_what_is_not_a_model(tmp_path, monkeypatch, written, message):
    assert mistake(tmp_path, monkeypatch, ("{hf: ./tiny}", written)) == message


def test_a_folder_without_its_parts(tmp_path, save_llama, monkeypatch):
    (tmp_path / "tiny").mkdir()
    assert "tiny: no config.json in it; a model is a folder made by save_pretrained" in mistake(
        tmp_path, monkeypatch
    )
    save_llama(tmp_path / "tiny")
    (tmp_path / "tiny" / "model.safetensors").write_bytes(b"no weights")
    assert "tiny: transformers cannot load it: " in mistake(tmp_path, monkeypatch)
    save_llama(tmp_path / "tiny")
    for file in (tmp_path / "tiny").glob("tokenizer*"):
        file.unlink()
    assert "tiny: no tokenizer in it" in mistake(tmp_path, monkeypatch)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    (tmp_path / "tiny").mkdir()
    monkeypatch.setitem(sys.modules, "transformers", None)
    found = mistake(tmp_path, monkeypatch)
    assert "a Hugging Face model needs the package transformers" in found and "\n" not in found


def test_missing_weights_are_refused(tmp_path, save_llama, monkeypatch):
    import transformers

    folder = save_llama(tmp_path / "tiny")
    transformers.AutoModelForCausalLM.from_pretrained(folder).model.save_pretrained(folder)
    assert "tiny: there are no weights for lm_head.weight of LlamaForCausalLM" in mistake(
        tmp_path, monkeypatch
    )
