"""One step of GRPO, ours and TRL's, in completion tokens per second; where ours goes; and its rate beside the FMA peak and the best product.

    python benchmarks/grpo_step.py                   # in an environment that has lab and trl
    python benchmarks/grpo_step.py --profile 15      # and the 15 most expensive operations of one step of ours

Two steps of ours, one of TRL's, in turn: what slows the machine for a while slows both, and our first beside our
second is the control, without which no ratio is printed. Both sample 32 x 8 completions
of exactly 48 tokens to the same kind of prompts, score them with the same cheap reward, and update once. They cannot
end early, because `<eos>` is the last token of the vocabulary and the models have no row for it: nothing has to be
computed to suppress it.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

from steps import (
    Conditions,
    Others,
    Watch,
    add_common,
    ceilings,
    products_alone,
    settle,
    shares,
    show_profile,
    spread,
    times_as_fast,
    twice,
)

PAIRS = 12
SEED = 7


@dataclass(frozen=True)
class Taken:
    """Seconds of a step, and completion tokens that it sampled.

    Attributes:
        sample: until the rewards are asked for.
        processed: tokens that went through our model in the update; a prompt goes once for several completions.
        parts: of what `sample` and the rest consist of, where it is known.
    """

    total: float
    sample: float
    tokens: float
    processed: float = 0.0
    parts: dict[str, float] | None = None


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add_common(parser, PAIRS)
    add("--prompts", type=int, default=32)
    add("--group", type=int, default=8, help="completions of each prompt")
    add("--tokens", type=int, default=48, help="of each completion")
    add("--d-model", type=int, default=128)
    add("--layers", type=int, default=5)
    add("--heads", type=int, default=4)
    add("--kv-heads", type=int, default=2)
    add("--d-ff", type=int, default=384)
    add("--parts", type=int, default=None, help="our update in so many parts (the default of GRPOConfig)")
    add("--backend", default="auto", help="our attention")
    add("--trl-batch", type=int, default=None, help="per_device_train_batch_size of TRL (all completions)")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    settle(given)
    task, model = task_of(given), model_of(given)
    describe(given, model)
    step = our_steps(given, task, model)
    others = Others()
    ours: list[Taken] = []
    again: list[Taken] = []
    theirs: list[Taken] = []
    if given.alone or find_spec("trl") is None:
        print("ours alone" if given.alone else "TRL is not installed (pip install trl): ours alone")
        for number in range(given.warmup + given.pairs):
            one, other = twice(step, number)
            ours.append(one)
            again.append(other)
    else:
        for one, other, trl in rounds(given, task, step):
            ours.append(one)
            again.append(other)
            theirs.append(trl)
    ours, again, theirs = (taken[given.warmup :] for taken in (ours, again, theirs))
    conditions = others.conditions([one.total for one in ours], [one.total for one in again])
    show(ours, theirs, conditions)
    show_ceiling(given, model, ours, conditions)
    if given.profile:
        show_profile(given.profile, step)


def task_of(given: argparse.Namespace) -> Any:
    """Sums of 6 to 9 digits modulo 10; `<eos>` is the last token."""
    from lab.core.grpo.tasks import task
    from lab.core.lm.vocabulary import EOS, Vocabulary

    made = task("chain", structure="z10")
    others = tuple(token for token in made.vocabulary.tokens if token != EOS)
    return replace(made, vocabulary=Vocabulary((*others, EOS)))


def model_of(given: argparse.Namespace) -> Any:
    import torch

    from lab.core.lm.model import Config, Transformer

    task = task_of(given)
    torch.manual_seed(SEED)
    return Transformer(
        Config(
            vocabulary=task.vocabulary.size - 1,
            context=task.longest_prompt + given.tokens,
            d_model=given.d_model,
            layers=given.layers,
            heads=given.heads,
            kv_heads=given.kv_heads,
            d_ff=given.d_ff,
            backend=given.backend,
        )
    )


def score(texts: Sequence[str]) -> list[float]:
    """A cheap reward, which seldom is equal within a group."""
    return [text.count("1") / 48 for text in texts]


def our_steps(given: argparse.Namespace, task: Any, model: Any) -> Iterator[Taken]:
    """One step of ours for each `next`."""
    import torch

    from lab.core.grpo.config import GRPOConfig
    from lab.core.grpo.rewards import WeightedRewards
    from lab.core.grpo.trainer import make_policy, train_step

    more = {} if given.parts is None else {"parts": given.parts}
    settings = GRPOConfig(
        num_prompts=given.prompts,
        num_generations=given.group,
        max_completion_length=given.tokens,
        drop_zero_spread=False,
        **more,
    )
    data, scoring = Watch(), Watch()
    watched = replace(task, problems=data.around(task.problems), is_right=scoring.around(task.is_right))
    reward = scoring.around(lambda problems, completions: score(completions))
    trained = make_policy(model, settings)
    processed: list[int] = []

    def counted(_module: Any, given: tuple[Any, ...]) -> None:
        if torch.is_grad_enabled():
            processed.append(given[0].numel())

    # In the first step only: with hooks PyTorch's operations sample. Later prompts are about as long.
    hook = model.embedding.register_forward_pre_hook(counted)
    step = 0
    while True:
        step += 1
        data.seconds = scoring.seconds = 0.0
        began = time.perf_counter()
        step_taken = train_step(
            trained, watched, lambda _: WeightedRewards({"ones": reward}), settings, seed=SEED, step=step
        )
        total = time.perf_counter() - began
        hook.remove()
        metrics = step_taken.metrics
        lengths = step_taken.batch.rollout.completions.lengths
        assert bool((lengths == given.tokens).all()), "a completion ended early"
        generate = metrics["time/generate"] - data.seconds - scoring.seconds
        yield Taken(
            total,
            metrics["time/generate"],
            float(lengths.sum()),
            float(sum(processed)),
            {
                "data": data.seconds,
                "generate": generate,
                "score": scoring.seconds,
                "update": metrics["time/update"],
            },
        )


def rounds(given: argparse.Namespace, task: Any, step: Iterator[Taken]) -> list[tuple[Taken, Taken, Taken]]:
    """Two of ours, and the step of TRL's trainer before them, from `on_step_begin` to `on_step_end`.

    What TRL's loop does around that (fetching rows, logging) is left out, in its favour.
    """
    import numpy as np
    import torch
    import transformers
    import trl
    from datasets import Dataset
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    transformers.logging.set_verbosity_error()
    words = task.vocabulary.tokens
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"</?[a-z]+>|."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", padding_side="left"
    )
    torch.manual_seed(SEED)
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=len(words) - 1,
            hidden_size=given.d_model,
            intermediate_size=given.d_ff,
            num_hidden_layers=given.layers,
            num_attention_heads=given.heads,
            num_key_value_heads=given.kv_heads,
            max_position_embeddings=task.longest_prompt + given.tokens,
            tie_word_embeddings=False,
            pad_token_id=task.vocabulary.pad,
            eos_token_id=task.vocabulary.eos,
            bos_token_id=None,
        )
    )
    steps, completions = given.warmup + given.pairs, given.prompts * given.group
    problems = task.problems(np.random.default_rng(SEED), steps * given.prompts, "train")
    batch = given.trl_batch or completions
    made: list[tuple[Taken, Taken, Taken]] = []
    now = {"began": 0.0, "scored": 0.0, "tokens": 0.0}

    def reward(completions: list[str], completion_ids: list[list[int]], **_: Any) -> list[float]:
        now["scored"] = time.perf_counter()
        now["tokens"] = float(sum(map(len, completion_ids)))
        return score(completions)

    class Turns(transformers.TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            now["began"] = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            ended = time.perf_counter()
            if torch.get_num_threads() != given.threads:
                raise SystemExit(f"TRL set the threads to {torch.get_num_threads()}")
            theirs = Taken(ended - now["began"], now["scored"] - now["began"], now["tokens"])
            made.append((*twice(step, len(made)), theirs))

    with tempfile.TemporaryDirectory() as folder:
        settings = trl.GRPOConfig(
            output_dir=folder,
            max_steps=steps,
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=completions // batch,
            num_generations=given.group,
            max_completion_length=given.tokens,
            temperature=1.0,
            learning_rate=5e-4,
            lr_scheduler_type="constant",
            loss_type="grpo",
            scale_rewards="group",
            beta=0.0,
            num_iterations=1,
            max_grad_norm=1.0,
            bf16=False,
            gradient_checkpointing=False,
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            logging_steps=10**6,
            disable_tqdm=True,
        )
        trainer = trl.GRPOTrainer(
            model=model,
            reward_funcs=reward,
            args=settings,
            train_dataset=Dataset.from_dict({"prompt": [problem.prompt for problem in problems]}),
            processing_class=fast,
            callbacks=[Turns()],
        )
        trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
        torch.set_num_threads(given.threads)
        print(
            f"TRL {trl.__version__}, transformers {transformers.__version__}, LlamaForCausalLM of "
            f"{model.num_parameters():,} parameters, attention {model.config._attn_implementation}; "
            f"{next(model.parameters()).dtype}, bf16 {settings.bf16}, gradient_checkpointing "
            f"{settings.gradient_checkpointing}, batch {batch} x {settings.gradient_accumulation_steps} "
            f"accumulated, optimizer {settings.optim.value}, beta {settings.beta:g}, loss {settings.loss_type}, "
            f"use_vllm {settings.use_vllm}, top_k {settings.top_k}, top_p {settings.top_p:g}, "
            f"dropout none, logging off",
            flush=True,
        )
        trainer.train()
    wanted = float(completions * given.tokens)
    assert all(theirs.tokens == wanted for *_, theirs in made), "a completion of TRL ended early"
    return made


def describe(given: argparse.Namespace, model: Any) -> None:
    from lab.core.grpo.config import GRPOConfig

    config = model.config
    print(
        f"{given.prompts} prompts x {given.group} completions of {given.tokens} tokens; d_model {config.d_model}, "
        f"{config.layers} layers, {config.heads} heads, {config.kv_heads} kv heads, d_ff {config.d_ff}, vocabulary "
        f"{config.vocabulary}; float32, beta 0, one update, no early end"
    )
    settings = GRPOConfig()
    print(
        f"ours: {model.parameter_count:,} parameters, attention {config.backend}, "
        f"{given.parts or settings.parts} parts, AdamW fused, loss {settings.loss_type}, all groups kept",
        flush=True,
    )


def show(ours: Sequence[Taken], theirs: Sequence[Taken], conditions: Conditions) -> None:
    print(f"\n{conditions}")
    for name, taken in (("ours", ours), ("TRL", theirs)):
        if not taken:
            continue
        rates = [one.tokens / one.total for one in taken]
        print(
            f"{name:5} {statistics.median(rates):8,.0f} completion tokens/s   "
            f"{spread([one.total for one in taken])} s a step, {spread([one.sample for one in taken])} of it "
            f"until there are completions and rewards"
        )
    if theirs:
        totals = [[one.total for one in side] for side in (ours, theirs)]
        print(f"ours beside TRL: {times_as_fast(*totals, conditions)}; wanted: 2.5")
        print(
            "rounds: " + "  ".join(f"{a.total:.3f}/{b.total:.3f}" for a, b in zip(ours, theirs, strict=True))
        )
    parts = [one.parts for one in ours if one.parts]
    total = statistics.median(one.total for one in ours)
    said = []
    for name in parts[0]:
        seconds = statistics.median(part[name] for part in parts)
        said.append(f"{name} {seconds:.3f} s ({seconds / total:.0%})")
    print("ours goes to " + ", ".join(said))


def show_ceiling(
    given: argparse.Namespace, model: Any, ours: Sequence[Taken], conditions: Conditions
) -> None:
    """The update's operations over its time, beside the FMA peak and the best product here.

    3 x 2 x (parameters of matrices) x tokens: forward, and backward twice that. Attention's own products, norms, the
    loss and the optimizer count as time and not as operations.
    """
    operations = 3 * model.flops_per_token() * statistics.median(one.processed for one in ours)
    update = statistics.median(one.parts["update"] for one in ours if one.parts)
    print(
        f"update: {operations * 1e-9:.1f} GFLOP in {update:.3f} s = {shares(operations / update * 1e-9, ceilings())}; "
        f"wanted: 50% of the best product; {conditions}"
    )
    alone = update_alone(given, model, ours)
    print(
        f"its products alone, in their own shapes, take {alone:.3f} s = {operations / alone * 1e-9:.0f} GFLOP/s, "
        f"{alone / update:.0%} of the update"
    )


def update_alone(given: argparse.Namespace, model: Any, ours: Sequence[Taken]) -> float:
    """Seconds of the update's matrix products alone, forward and backward."""
    from lab.core.grpo.config import GRPOConfig

    parts = given.parts or GRPOConfig().parts
    rows = math.ceil(statistics.median(one.processed for one in ours) / parts)
    head = math.ceil(given.prompts * given.group * given.tokens / parts)
    layers = [
        (rows, *p.shape) for n, p in model.named_parameters() if p.dim() == 2 and n.startswith("blocks")
    ]
    return products_alone([*layers, (head, *model.head.weight.shape)], parts)


if __name__ == "__main__":
    sys.exit(main())
