"""A teacher, trained once, and its outputs on the students' text, computed once and read by all students."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..lm.model import Config, Transformer, restored
from ..lm.not_finite import NotFinite
from ..lm.products import made_by
from ..lm.scoring import Sequences
from ..lm.training import Recipe, train
from ..source_digest import source_digest
from ..trial import Context
from .internals import hidden_states_and_qkv
from .language import Oracle, evaluate
from .losses.sparse import sampled_targets, top_k_targets
from .output_encoding import Output
from .output_file import Outputs, load_or_make, write
from .text import FOR_STUDENTS, FOR_TEACHERS, HELD_OUT, Source

MODEL, FACTS, OUTPUTS, INTERNALS = "model.pt", "facts.json", "outputs", "internals.npy"
AT_ONCE = 32
"""Documents that go through the teacher at once."""


@dataclass(frozen=True)
class Teacher:
    """What a teacher is made of.

    Attributes:
        documents: of its own training text, which differs with the seed.
        seed: of weights, text and order.
    """

    source: Source
    config: Config
    recipe: Recipe
    documents: int
    held_out: int
    seed: int

    @cached_property
    def key(self) -> str:
        """The cache key: all that makes the teacher, the code included."""
        made = [*made_by(), source_digest(__name__)]
        return json.dumps(["kd teacher", self.source.key, _plain(self), *made])

    def flops(self, documents: int) -> float:
        """Operations of its training (forward, and twice as many backward) and of its outputs on this many documents."""
        predicted = self.source.columns - 1
        trained, read = self.recipe.steps * self.recipe.batch * predicted, documents * predicted
        return float(Transformer(self.config).flops_per_token() * (3 * trained + read))


def train_teacher(context: Context, teacher: Teacher) -> tuple[Transformer, dict[str, float]]:
    """The teacher, from the cache or trained, and its figures on held-out text."""
    folder = context.cached(teacher.key, lambda folder: _make(folder, teacher, context))
    figures: dict[str, float] = json.loads((folder / FACTS).read_text())
    return restored(torch.load(folder / MODEL, weights_only=True)).eval(), figures


def held_out_text(source: Source, documents: int) -> Tensor:
    """(documents, columns) that no model is trained on."""
    return source.documents(documents, HELD_OUT)


def transfer_text(source: Source, documents: int, seed: int) -> Tensor:
    """(documents, columns) that all students of a seed learn from."""
    return source.documents(documents, FOR_STUDENTS, seed)


@dataclass(frozen=True)
class TeacherOutputs:
    """A teacher's outputs on the students' text, from the cache or computed: full, top-k, sampled, states, heads.

    Attributes:
        teacher: None for the oracle.
        documents: of the students' text.
        seed: of that text, and of draws.
        rebuild: make a damaged file again; otherwise it raises `Unusable`.
    """

    source: Source
    teacher: Teacher | None
    documents: int
    seed: int
    temperature: float = 1.0
    rebuild: bool = False

    @property
    def _key(self) -> str:
        of = "oracle" if self.teacher is None else self.teacher.key
        code = source_digest(__name__)
        return json.dumps(["kd outputs", of, self.source.key, self.documents, self.seed, code])

    def full(self, context: Context) -> Outputs:
        """Log-probabilities over the vocabulary at each token."""
        return self._load_or_make(context, self._key, lambda: self._logits(context))

    def states(self, context: Context) -> np.ndarray:
        """(tokens, d_model), the last hidden states, in a file that is mapped into memory."""
        return self._internals(context, "states", lambda model, ids: model.hidden(ids))

    def heads(self, context: Context) -> np.ndarray:
        """(tokens, heads + 2 · kv_heads, head_dim), the last queries, keys and values, in a file mapped into memory."""
        return self._internals(context, "heads", lambda model, ids: hidden_states_and_qkv(model, ids)[1])

    def sparse(self, context: Context, form: str, count: int) -> Outputs:
        """The form `top-k` or `sampled`, with `count` tokens or draws at each position, made from the full outputs."""
        key = json.dumps([self._key, form, count, self.temperature])

        def made() -> Iterator[Output]:
            full = self.full(context)
            draws = torch.Generator().manual_seed(self.seed)
            for first in range(0, full.tokens, 4096):
                log_p = full.read(torch.arange(first, min(first + 4096, full.tokens), device="cpu"))
                assert isinstance(log_p, Tensor)  # full outputs are a tensor
                log_p = log_p.float()
                if form == "top-k":
                    yield top_k_targets(log_p, count, self.temperature)
                else:
                    yield sampled_targets(log_p, count, self.temperature, generator=draws)

        return self._load_or_make(context, key, made)

    def _load_or_make(self, context: Context, key: str, make: Callable[[], Iterator[Output]]) -> Outputs:
        folder = context.cached(key, lambda folder: write(folder / OUTPUTS, make(), made_by=short(key)))
        return load_or_make(folder / OUTPUTS, make, made_by=short(key), rebuild=self.rebuild)

    def _internals(
        self, context: Context, name: str, compute: Callable[[Transformer, Tensor], Tensor]
    ) -> np.ndarray:
        """`compute` of the teacher at each token, in float16, in one file."""

        def make(folder: Path) -> None:
            model = self._model(context)
            with torch.inference_mode():
                found = [
                    compute(model, ids).flatten(0, 1).half().cpu().numpy() for ids in self._text(context)
                ]
            np.save(folder / INTERNALS, np.concatenate(found))

        folder = context.cached(json.dumps([self._key, name]), make)
        whole: np.ndarray = np.load(folder / INTERNALS, mmap_mode="r")
        return whole

    def _logits(self, context: Context) -> Iterator[Tensor]:
        """Of all predicted tokens, (documents, columns − 1, V), `AT_ONCE` documents at a time."""
        model = Oracle(self.source.truth) if self.teacher is None else self._model(context)
        for ids in self._text(context):
            with torch.inference_mode():
                logits = model(ids)
            yield logits

    def _model(self, context: Context) -> Transformer:
        assert self.teacher is not None, "the oracle has no hidden states"
        return train_teacher(context, self.teacher)[0].to(context.device)

    def _text(self, context: Context) -> Iterator[Tensor]:
        """All but the last token of each document, `AT_ONCE` documents at a time."""
        for ids in torch.split(transfer_text(self.source, self.documents, self.seed)[:, :-1], AT_ONCE):
            yield ids.to(context.device)


def _make(folder: Path, teacher: Teacher, context: Context) -> None:
    torch.manual_seed(teacher.seed)
    model = Transformer(teacher.config).to(context.device)
    ids = teacher.source.documents(teacher.documents, FOR_TEACHERS, teacher.seed)
    rows = torch.arange(len(ids), device="cpu")
    data = Sequences(ids, torch.ones_like(rows), torch.full_like(rows, ids.shape[1] - 1), rows)
    every = max(1, teacher.recipe.steps // 20)

    def after_step(step: int, loss: float) -> None:
        context.progress(step, teacher.recipe.steps, "teacher")
        if step % every == 0:
            context.sample(0, f"the teacher is trained first: loss {loss:.2f} at step {step}")

    order = torch.Generator().manual_seed(teacher.seed)
    train(model, data, teacher.recipe, generator=order, after_step=after_step)
    held_out = held_out_text(teacher.source, teacher.held_out).to(context.device)
    figures = evaluate(teacher.source.truth, held_out, model).measures()
    if any(map(math.isnan, figures.values())):
        raise NotFinite("the teacher's outputs on held-out text are NaN")
    torch.save(model.state(), folder / MODEL)
    (folder / FACTS).write_text(json.dumps(figures))


def _plain(teacher: Teacher) -> dict[str, object]:
    return {"config": asdict(teacher.config), "recipe": asdict(teacher.recipe), "documents": teacher.documents,
            "held_out": teacher.held_out, "seed": teacher.seed}  # fmt: skip


def short(key: str) -> str:
    """The key's digest, which a file of outputs holds as `made_by`."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]
