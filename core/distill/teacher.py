"""A teacher trained once, and its outputs on the students' text, computed once and read by all of them."""

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
from ..lm.scoring import Sequences
from ..lm.training import Recipe, train
from ..trial import Context
from .internals import looked_into
from .language import Oracle, evaluate
from .losses.sparse import sampled_targets, top_k_targets
from .output_encoding import Output
from .output_file import Outputs, kept, write
from .text import FOR_STUDENTS, FOR_TEACHERS, HELD_OUT, Source

MODEL, FACTS, OUTPUTS, INSIDE = "model.pt", "facts.json", "outputs", "inside.npy"
AT_ONCE = 32
"""So many documents go through the teacher at once."""


@dataclass(frozen=True)
class Teacher:
    """How a teacher is made.

    Attributes:
        documents: of its own text, another one for each seed.
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
        """All that makes it, the code included."""
        made_by = [torch.__version__, torch.get_num_threads(), digest_of_code()]
        return json.dumps(["kd teacher", self.source.words_of_key, _plain(self), *made_by])

    def flops(self, documents: int) -> float:
        """Of its training, forward and twice as much backward for each token, and of its outputs on so many documents."""
        told = self.source.columns - 1
        trained, read = self.recipe.steps * self.recipe.batch * told, documents * told
        return float(Transformer(self.config).flops_per_token() * (3 * trained + read))


def train_teacher(context: Context, teacher: Teacher) -> tuple[Transformer, dict[str, float]]:
    """The teacher, trained where the cache has none, and its figures on held-out text."""
    folder = context.cached(teacher.key, lambda folder: _make(folder, teacher, context))
    figures: dict[str, float] = json.loads((folder / FACTS).read_text())
    return restored(torch.load(folder / MODEL, weights_only=True)).eval(), figures


def held_out_text(source: Source, documents: int) -> Tensor:
    """(documents, columns) that no one is trained on."""
    return source.documents(documents, HELD_OUT)


def transfer_text(source: Source, documents: int, seed: int) -> Tensor:
    """(documents, columns) that all students of a seed learn from."""
    return source.documents(documents, FOR_STUDENTS, seed)


@dataclass(frozen=True)
class Lessons:
    """What is asked of a teacher on a text: a full distribution, or k tokens of it, or n draws.

    Attributes:
        teacher: None is the oracle.
        documents: of the students' text.
        seed: of that text, and of draws.
        form: "full", "top-k" or "sampled".
        count: k or n.
        rebuild: make a file that is damaged again, instead of saying so.
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
        code = digest_of_code(
            "output_file.py", "output_encoding.py", "text.py", "losses/sparse.py", "losses/slabs.py"
        )
        return json.dumps(["kd outputs", of, self.source.words_of_key, self.documents, self.seed, code])

    def full(self, context: Context) -> Outputs:
        """Log-probabilities at each token."""
        return self._kept(context, self._key, lambda: self._logits(context))

    def states(self, context: Context) -> np.ndarray:
        """(tokens, d_model), the last states, in a file that is mapped into memory."""
        return self._inside(context, "states", lambda model, ids: model.hidden(ids))

    def heads(self, context: Context) -> np.ndarray:
        """(tokens, heads + 2 · kv_heads, head_dim): `inside.looked_into`, in a file that is mapped into memory."""
        return self._inside(context, "heads", lambda model, ids: looked_into(model, ids)[1])

    def sparse(self, context: Context, form: str, count: int) -> Outputs:
        """`top-k` or `sampled`, taken from the full ones."""
        key = json.dumps([self._key, form, count, self.temperature])

        def made() -> Iterator[Output]:
            full = self.full(context)
            draws = torch.Generator().manual_seed(self.seed)
            for first in range(0, full.tokens, 4096):
                log_p = full.read(torch.arange(first, min(first + 4096, full.tokens), device="cpu"))
                assert isinstance(log_p, Tensor)  # which is what full ones are
                log_p = log_p.float()
                if form == "top-k":
                    yield top_k_targets(log_p, count, self.temperature)
                else:
                    yield sampled_targets(log_p, count, self.temperature, generator=draws)

        return self._kept(context, key, made)

    def _kept(self, context: Context, key: str, make: Callable[[], Iterator[Output]]) -> Outputs:
        folder = context.cached(key, lambda folder: write(folder / OUTPUTS, make(), made_by=short(key)))
        return kept(folder / OUTPUTS, make, made_by=short(key), rebuild=self.rebuild)

    def _inside(
        self, context: Context, what: str, look: Callable[[Transformer, Tensor], Tensor]
    ) -> np.ndarray:
        """What `look` finds in the teacher at each token, in float16, whole in one file."""

        def make(folder: Path) -> None:
            model = self._model(context)
            with torch.inference_mode():
                found = [look(model, ids).flatten(0, 1).half().cpu().numpy() for ids in self._text(context)]
            np.save(folder / INSIDE, np.concatenate(found))

        folder = context.cached(json.dumps([self._key, what, digest_of_code("internals.py")]), make)
        whole: np.ndarray = np.load(folder / INSIDE, mmap_mode="r")
        return whole

    def _logits(self, context: Context) -> Iterator[Tensor]:
        """Of all tokens that are told, (documents, columns − 1, V), some documents at a time."""
        tell = Oracle(self.source.truth) if self.teacher is None else self._model(context)
        for ids in self._text(context):
            with torch.inference_mode():
                logits = tell(ids)
            yield logits

    def _model(self, context: Context) -> Transformer:
        assert self.teacher is not None, "the oracle has nothing inside"
        return train_teacher(context, self.teacher)[0].to(context.device)

    def _text(self, context: Context) -> Iterator[Tensor]:
        """All but the last token of each document, some documents at a time."""
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
        context.progress(step, teacher.recipe.steps)
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
    """What a file says that it was made by."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def digest_of_code(*more: str) -> str:
    """Of every file that a teacher depends on, so that a change of any of them makes it anew."""
    here = Path(__file__).parent
    files = [*(here.parent / "lm").glob("*.py"), *(here / "language").glob("*.py")]
    files += [here / name for name in ("teacher.py", "text.py", *more)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()
