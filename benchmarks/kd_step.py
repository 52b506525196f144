"""One step of distillation with soft targets, ours and TRL's GKD step, in seconds; and ours beside its products alone.

    python benchmarks/kd_step.py                     # in an environment that has lab and trl; the student of `kd`
    python benchmarks/kd_step.py --shape large       # a larger one
    python benchmarks/kd_step.py --profile 15        # and the 15 most expensive operations of one step of ours

Two steps of TRL's and three of each of ours, in turn, all but the first of them timed: what slows the machine for a while
slows all, and each comes after one of its own, as in a training. Of the two of ours, one beside the other is the control,
without which no ratio is printed. All three learn the forward KL at
temperature 1 from a teacher with the same weights, on the same documents, off-policy, from students with the same weights:
before anything is timed, models, losses and gradients must agree. TRL has its teacher's forward pass in each step, and has
no other way. Ours is timed with the teacher in each step too, and as it is used: with outputs read from a file that was
written once. TRL's step less the time in its teacher is printed beside, for who would rather compare that.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from steps import (
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

PAIRS = 30
SEED = 7
WANTED, WANTED_SHARE = 1.5, 0.6
DOCUMENTS = 4
"""Batches of them that there are; TRL and ours go through the same, each in its own order."""


@dataclass(frozen=True)
class Shape:
    """Documents of `columns` tokens, each but the last of which predicts the next."""

    vocabulary: int
    columns: int
    batch: int
    student: dict[str, int]
    teacher: dict[str, int]


SHAPES = {
    "kd": Shape(
        512,
        64,
        32,
        {"d_model": 48, "layers": 1, "heads": 4, "kv_heads": 4, "d_ff": 144},
        {"d_model": 128, "layers": 2, "heads": 4, "kv_heads": 4, "d_ff": 384},
    ),
    "large": Shape(
        8192,
        256,
        8,
        {"d_model": 256, "layers": 4, "heads": 4, "kv_heads": 4, "d_ff": 768},
        {"d_model": 512, "layers": 4, "heads": 8, "kv_heads": 8, "d_ff": 1536},
    ),
}


@dataclass(frozen=True)
class Taken:
    """Seconds of a step, and of those in the teacher: its forward pass, or reading its outputs."""

    total: float
    teacher: float


@dataclass(frozen=True)
class Turn:
    """A step of each, and of ours another one for the control."""

    cached: tuple[Taken, Taken]
    online: tuple[Taken, Taken]
    trl: Taken | None = None


@dataclass(frozen=True)
class TimedOutputs:
    """A teacher's outputs as an objective reads them, on a watch."""

    outputs: Any
    watch: Watch

    def read(self, tokens: Any) -> Any:
        return self.watch.around(self.outputs)(tokens)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_common(parser, PAIRS)
    parser.add_argument("--shape", choices=SHAPES, default="kd", help="of models and batch (%(default)s)")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    settle(given)
    from lab.core.measure.pages import keep_pages

    keep_pages()  # as a trial does; TRL, in the same process, gains by it as well
    shape = SHAPES[given.shape]
    ids, teacher = text_of(shape), model_of(shape, shape.teacher)
    with tempfile.TemporaryDirectory() as folder:
        outputs = written(Path(folder) / "outputs", teacher, ids)
        cached = our_steps(given, shape, ids, outputs.read)
        online = our_steps(given, shape, ids, computed(teacher, ids))
        describe(shape, outputs)
        others = Others()
        if given.alone or find_spec("trl") is None:
            print("ours alone" if given.alone else "TRL is not installed (pip install trl): ours alone")
            numbers = range(given.warmup + given.pairs)
            turns = [Turn(settled(cached, number), settled(online, number)) for number in numbers]
        else:
            turns = turns_with_trl(given, shape, ids, teacher, cached, online)
        turns = turns[given.warmup :]
        show(turns, shape, others)
        show_ceiling(shape, [turn.cached[0].total for turn in turns])
        if given.profile:
            show_profile(given.profile, cached)


def text_of(shape: Shape) -> Any:
    """(documents, columns) tokens by Zipf's law: a step takes as long on any."""
    import torch

    law = 1 / torch.arange(1, shape.vocabulary + 1, dtype=torch.float64)
    random = torch.Generator().manual_seed(SEED)
    drawn = torch.multinomial(
        law, DOCUMENTS * shape.batch * shape.columns, replacement=True, generator=random
    )
    return drawn.view(-1, shape.columns)


def model_of(shape: Shape, sizes: dict[str, int]) -> Any:
    import torch

    from lab.core.lm.model import Config, Transformer

    torch.manual_seed(SEED)
    return Transformer(Config(shape.vocabulary, shape.columns, **sizes))


def written(path: Path, teacher: Any, ids: Any) -> Any:
    """The teacher's outputs on all documents, in a file."""
    import torch

    from lab.core.distill.output_file import open_outputs, write

    with torch.inference_mode():
        write(path, (teacher(some) for some in torch.split(ids[:, :-1], 8)))
    return open_outputs(path)


def computed(teacher: Any, ids: Any) -> Any:
    """The teacher's logits, computed when they are read; rows are numbered token by token, document by document."""
    import torch

    def read(tokens: Any) -> Any:
        with torch.inference_mode():
            return teacher(ids[tokens[:, 0] // (ids.shape[1] - 1), :-1])

    return read


def our_steps(given: argparse.Namespace, shape: Shape, ids: Any, read: Any) -> Iterator[Taken]:
    """One step of ours for each `next`."""
    from lab.core.distill.objective import Objective
    from lab.core.distill.student import Student
    from lab.core.lm.training import Recipe

    watch = Watch()
    teacher: Any = model_of(shape, shape.teacher).config
    objective = Objective(ids, {"soft": 1.0}, {"soft": TimedOutputs(read, watch)}, None, None, teacher)
    recipe = Recipe(steps=3 * (given.warmup + given.pairs), batch=shape.batch)
    student = Student(model_of(shape, shape.student), recipe, objective, SEED)
    while True:
        watch.seconds = 0.0
        began = time.perf_counter()
        student.learn()
        yield Taken(time.perf_counter() - began, watch.seconds)


def settled(steps: Iterator[Taken], number: int) -> tuple[Taken, Taken]:
    """Two steps after the next, since the next one finds caches and threads as another program left them."""
    next(steps)
    return twice(steps, number)


def turns_with_trl(
    given: argparse.Namespace,
    shape: Shape,
    ids: Any,
    teacher: Any,
    cached: Iterator[Taken],
    online: Iterator[Taken],
) -> list[Turn]:
    """Two of each of ours after each second step of TRL's trainer, that from `on_step_begin` to `on_step_end`.

    What TRL's loop does around that (collating, logging) is left out, in its favour.
    """
    import torch
    import transformers
    import trl
    from datasets import Dataset
    from tokenizers import Tokenizer, models

    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    from trl.experimental.gkd import GKDConfig, GKDTrainer

    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    transformers.logging.set_verbosity_error()
    student = model_of(shape, shape.student)
    llama, its_teacher = llama_of(student), llama_of(teacher).eval()
    check_agreement(student, teacher, llama, its_teacher, ids[: shape.batch])
    words = Tokenizer(models.WordLevel({str(i): i for i in range(shape.vocabulary)}, unk_token="0"))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, pad_token="0", eos_token="1")
    watch, began, steps, made = Watch(), [0.0], [0], list[Turn]()
    its_teacher.forward = watch.around(its_teacher.forward)

    class Turns(transformers.TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            watch.seconds, began[0] = 0.0, time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            trl = Taken(time.perf_counter() - began[0], watch.seconds)
            if torch.get_num_threads() != given.threads:
                raise SystemExit(f"TRL set the threads to {torch.get_num_threads()}")
            steps[0] += 1
            if steps[0] % 2 == 0:
                made.append(Turn(settled(cached, len(made)), settled(online, len(made)), trl))

    def collated(rows: list[dict[str, list[int]]]) -> dict[str, Any]:
        batch = torch.tensor([row["input_ids"] for row in rows])
        return {"input_ids": batch, "attention_mask": torch.ones_like(batch), "labels": batch.clone()}

    with tempfile.TemporaryDirectory() as folder:
        settings = GKDConfig(
            output_dir=folder,
            max_steps=2 * (given.warmup + given.pairs),
            per_device_train_batch_size=shape.batch,
            lmbda=0.0,
            beta=0.0,
            temperature=1.0,
            learning_rate=3e-3,
            lr_scheduler_type="constant",
            max_grad_norm=1.0,
            max_length=shape.columns,
            bf16=False,
            gradient_checkpointing=False,
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            logging_steps=10**6,
            disable_tqdm=True,
        )
        trainer = GKDTrainer(
            model=llama,
            teacher_model=its_teacher,
            args=settings,
            data_collator=collated,
            train_dataset=Dataset.from_dict({"input_ids": ids.tolist()}),
            processing_class=tokenizer,
            callbacks=[Turns()],
        )
        trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
        torch.set_num_threads(given.threads)
        print(
            f"TRL {trl.__version__}, transformers {transformers.__version__}, LlamaForCausalLM of "
            f"{llama.num_parameters():,} parameters, teacher {its_teacher.num_parameters():,}, attention "
            f"{llama.config._attn_implementation}; {llama.dtype}, bf16 {settings.bf16}, gradient_checkpointing "
            f"{settings.gradient_checkpointing}, optimizer {settings.optim.value}, lmbda {settings.lmbda:g}, beta "
            f"{settings.beta:g}, dropout none, logging off",
            flush=True,
        )
        trainer.train()
    return made


def llama_of(model: Any) -> Any:
    """A Llama of transformers with the same weights."""
    import torch
    import transformers

    config = model.config
    llama = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=config.vocabulary,
            hidden_size=config.d_model,
            intermediate_size=config.d_ff,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.kv_heads,
            max_position_embeddings=config.context,
            rms_norm_eps=torch.finfo(torch.float32).eps,
            rope_theta=config.rope_theta,
            tie_word_embeddings=False,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=None,
        )
    )

    def halved(rows: Any) -> Any:
        """Ours turns neighbours of a head, Llama its first half with its second."""
        heads = rows.view(-1, config.head_dim // 2, 2, rows.shape[1])
        return heads.transpose(1, 2).reshape(rows.shape)

    q, kv = config.heads * config.head_dim, config.kv_heads * config.head_dim
    weights = {
        "model.embed_tokens.weight": model.embedding.weight,
        "model.norm.weight": model.norm.weight,
        "lm_head.weight": model.head.weight,
    }
    for i, block in enumerate(model.blocks):
        of_q, of_k, of_v = torch.split(block.qkv.weight, [q, kv, kv])
        gate, up = block.gate_up.weight.chunk(2)
        weights |= {
            f"model.layers.{i}.{name}.weight": weight
            for name, weight in (
                ("self_attn.q_proj", halved(of_q)),
                ("self_attn.k_proj", halved(of_k)),
                ("self_attn.v_proj", of_v),
                ("self_attn.o_proj", block.project.weight),
                ("mlp.gate_proj", gate),
                ("mlp.up_proj", up),
                ("mlp.down_proj", block.down.weight),
                ("input_layernorm", block.before_attention.weight),
                ("post_attention_layernorm", block.before_gate.weight),
            )
        }
    llama.load_state_dict({name: weight.detach().clone() for name, weight in weights.items()})
    return llama


def check_agreement(student: Any, teacher: Any, llama: Any, its_teacher: Any, ids: Any) -> None:
    """The same logits from both students and both teachers, and the same loss and gradient on the same logits."""
    import torch
    from trl.experimental.gkd import GKDTrainer

    from lab.core.distill.losses import forward_kl

    with torch.no_grad():
        apart = max(
            float((one(ids) - other(input_ids=ids).logits).abs().max())
            for one, other in ((student, llama), (teacher, its_teacher))
        )
        teacher_logits = teacher(ids)[:, :-1]
        student_logits = student(ids)[:, :-1]
    mine, theirs = (student_logits.clone().requires_grad_() for _ in range(2))
    ours = forward_kl(mine, teacher_logits)
    their_loss = GKDTrainer.generalized_jsd_loss(
        theirs, teacher_logits, labels=ids[:, 1:], beta=0.0, temperature=1.0
    )
    ours.backward()
    their_loss.backward()
    tokens = ids[:, 1:].numel()
    loss_apart = abs(float((ours - their_loss).detach()))
    gradient_apart = float((mine.grad - theirs.grad).abs().max()) * tokens
    print(
        f"on the same batch logits differ by {apart:.1e} at most, losses ({float(ours.detach()):.6f}) by {loss_apart:.1e}, "
        f"gradients of a token's loss by {gradient_apart:.1e}"
    )
    if not (apart < 1e-4 and loss_apart < 1e-5 and gradient_apart < 1e-5):
        raise SystemExit("the two do not compute the same: nothing is timed")


def describe(shape: Shape, outputs: Any) -> None:
    student, teacher = model_of(shape, shape.student), model_of(shape, shape.teacher)
    sizes = [
        f"d_model {config.d_model}, {config.layers} layers, {config.heads} heads, d_ff {config.d_ff}"
        for config in (student.config, teacher.config)
    ]
    print(
        f"{shape.batch} documents of {shape.columns} tokens, vocabulary {shape.vocabulary}, float32; student: {sizes[0]}; "
        f"teacher: {sizes[1]}"
    )
    print(
        f"ours: {student.parameter_count:,} parameters, teacher {teacher.parameter_count:,}; Muon and AdamW fused; "
        f"outputs in a file, {outputs.kind.dtype}, {outputs.bytes_per_token:,.0f} bytes a token",
        flush=True,
    )


def show(turns: Sequence[Turn], shape: Shape, others: Others) -> None:
    tokens = shape.batch * (shape.columns - 1)
    cached, online = ([turn.cached for turn in turns], [turn.online for turn in turns])
    theirs = [turn.trl for turn in turns if turn.trl is not None]
    named = {"ours, from the file": first(cached), "ours, teacher in the step": first(online)}
    if theirs:
        named["TRL, teacher in the step"] = theirs
    print()
    for name, taken in named.items():
        seconds = [one.total for one in taken]
        print(
            f"{name:26} {spread([tokens / s for s in seconds], 0)} tokens/s, {spread([1e3 * s for s in seconds], 1)} ms a step, "
            f"{spread([1e3 * one.teacher for one in taken], 1)} of it the teacher's"
        )
    alone = [replace(one, total=one.total - one.teacher) for one in theirs]
    for says, ours, other in (
        ("the teacher in the step of both", online, theirs),
        ("each as it is used, ours from the file", cached, theirs),
        ("ours from the file, TRL less its teacher's time", cached, alone),
    ):
        one, again = ([taken.total for taken in side] for side in zip(*ours, strict=True))
        conditions = others.conditions(one, again)
        said = times_as_fast(one, [taken.total for taken in other], conditions) if theirs else conditions
        print(f"{says}: {said}; wanted: {WANTED}")


def first(pairs: Sequence[tuple[Taken, Taken]]) -> list[Taken]:
    return [one for one, _ in pairs]


def show_ceiling(shape: Shape, seconds: Sequence[float]) -> None:
    """A step beside its matrix products alone: forward, and backward twice that; its rate beside the FMA peak and the best
    product here.

    Attention's own products and those of the optimizer count as time and not as products.
    """
    model = model_of(shape, shape.student)
    rows = shape.batch * (shape.columns - 1)
    shapes = [
        (rows, *p.shape)
        for name, p in model.named_parameters()
        if p.dim() == 2 and name != "embedding.weight"
    ]
    alone = products_alone(shapes, best_of=20)
    step = statistics.median(seconds)
    operations = 3 * model.flops_per_token() * rows
    print(
        f"ours from the file: its products alone, in their own shapes, take {1e3 * alone:.1f} ms, {alone / step:.0%} of the "
        f"step; wanted: {WANTED_SHARE:.0%}\n{operations * 1e-9:.2f} GFLOP a step: "
        f"{shares(operations / step * 1e-9, ceilings())}"
    )


if __name__ == "__main__":
    sys.exit(main())
