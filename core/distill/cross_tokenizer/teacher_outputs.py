"""What a teacher says of the students' text, computed once and read by all of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...lm.generation import generate
from ...trial import Context
from ..losses.cross_tokenizer import exact_marginal, marginal, trie
from ..output_file import Outputs, kept, write
from ..student import operations
from ..teacher import AT_ONCE, OUTPUTS, digest_of_code, short
from .prefix_log_probs import answers, encoder
from .tokenizers import Both, Side, some

SEED_OF_TEXT = 4
"""Of what a teacher writes."""
FACTS, STATES = "facts.json", "states.npy"
WRITTEN_AT_ONCE = 256
"""So many documents are drawn at once."""


@dataclass(frozen=True, eq=False)
class Guide:
    """A teacher, ready to be asked.

    Attributes:
        model: ours or one of `lab.core.lm.hugging_face`, on the device.
        key: tells it from all others.
        trained: operations of its training; 0 for a given one.
    """

    model: Any
    side: Side
    key: str
    trained: float

    @property
    def per_token(self) -> float:
        """Operations of the forward pass for one token."""
        return operations(self.model)


@dataclass(frozen=True, eq=False)
class Told:
    """A teacher on a text.

    Attributes:
        rebuild: make a file that is damaged again, instead of saying so.
    """

    guide: Guide
    text: Both
    rebuild: bool = False

    @property
    def _key(self) -> str:
        sides = self.text.student.digest, self.text.teacher.digest
        return json.dumps(["kd cross-tokenizer", self.guide.key, self.text.digest, *sides, _code()])

    def outputs(self, context: Context) -> tuple[Outputs, np.ndarray]:
        """Log-probabilities of each of its tokens, document · tokens + position, and the states they are made of."""
        folder = context.cached(self._key, lambda folder: self._write(folder))
        path = folder / OUTPUTS
        found = kept(path, lambda: self._all(None), made_by=short(self._key), rebuild=self.rebuild)
        return found, np.load(folder / STATES, mmap_mode="r")

    def targets(self, context: Context, name: str) -> tuple[Outputs, float]:
        """`marginal` or `exact-marginal` at each character, document · characters + position; and its operations."""
        key = json.dumps([self._key, name])
        facts: dict[str, float] = {}
        make = partial(self._marginals, context, name, facts)

        def fill(folder: Path) -> None:
            write(folder / OUTPUTS, make(), made_by=short(key))
            (folder / FACTS).write_text(json.dumps(facts))

        folder = context.cached(key, fill)
        found = kept(folder / OUTPUTS, make, made_by=short(key), rebuild=self.rebuild)
        return found, float(json.loads((folder / FACTS).read_text())["operations"])

    def writes(self, context: Context, bytes: int) -> list[str]:
        """Text that it draws, document by document, of so many bytes together.

        Raises:
            ValueError: what it writes is no text in UTF-8, or nothing.
        """
        key = json.dumps([self._key, "writes", bytes])

        def fill(folder: Path) -> None:
            (folder / "text.json").write_text(json.dumps(self._drawn(bytes)))

        texts: list[str] = json.loads((context.cached(key, fill) / "text.json").read_text())
        return texts

    @property
    def operations(self) -> float:
        """Of its outputs on the whole text."""
        return self.guide.per_token * self.text.teacher_ids[:, 1:].numel()

    def _write(self, folder: Path) -> None:
        states: list[np.ndarray] = []
        write(folder / OUTPUTS, self._all(states), made_by=short(self._key))
        np.save(folder / STATES, np.concatenate(states))

    def _all(self, states: list[np.ndarray] | None) -> Iterator[Tensor]:
        model = self.guide.model
        for ids in torch.split(self.text.teacher_ids[:, :-1], AT_ONCE):
            with torch.inference_mode():
                hidden = model.hidden(ids.to(model.embedding.weight.device))
                if states is not None:
                    states.append(hidden.flatten(0, 1).to(torch.float16).cpu().numpy())
                yield model.logits(hidden).float()

    def _marginals(self, context: Context, name: str, facts: dict[str, float]) -> Iterator[Tensor]:
        text, guide = self.text, self.guide
        tree = trie(text.student.pieces, text.teacher.pieces)
        ids = text.teacher_ids
        width, length = text.student_ids.shape[1] - 1, ids.shape[1] - 1
        outputs = self.outputs(context)[0] if name == "marginal" else None
        encode, ran = encoder(text.teacher), 0
        for rows in torch.split(torch.arange(len(ids), device="cpu"), AT_ONCE):
            if outputs is not None:
                told = outputs.read(rows[:, None] * length + torch.arange(length, device="cpu"))
                assert isinstance(told, Tensor)  # which is what full ones are
                yield marginal(told.float(), some(text.spans, rows), tree)
                continue
            counted: list[int] = []

            def teacher(
                beginnings: list[tuple[int, ...]], rows: Tensor = rows, counted: list[int] = counted
            ) -> Tensor:
                device = guide.model.embedding.weight.device
                found, tokens = answers(guide.model, text.teacher, ids[rows].to(device), beginnings)
                counted.append(tokens)
                return found

            found = exact_marginal(teacher, encode, [text.cut[row][0] for row in rows.tolist()], tree)
            ran += sum(counted)
            yield torch.nn.functional.pad(found, (0, 0, 0, width - found.shape[1]))
        facts["operations"] = self.operations if outputs is not None else guide.per_token * ran

    def _drawn(self, bytes: int) -> list[str]:
        guide, side = self.guide, self.text.teacher
        device = guide.model.embedding.weight.device
        length = self.text.teacher_ids.shape[1] - 1
        draws = torch.Generator(device).manual_seed(SEED_OF_TEXT)
        texts, lacking = list[str](), bytes
        while lacking > 0:
            made = generate(
                guide.model,
                [[side.start]] * WRITTEN_AT_ONCE,
                max_new_tokens=length,
                eos=side.end,
                pad=side.pad,
                generator=draws,
            )
            before = lacking
            for row, count in zip(made.ids.tolist(), _lengths(made), strict=True):
                written = b"".join(side.pieces[i] for i in row[:count])[:lacking].decode(errors="ignore")
                if written and lacking > 0:
                    texts.append(written)
                    lacking -= max(1, len(written.encode()))
            if lacking == before:
                raise ValueError("the teacher writes no text that could be learnt from")
        return texts


def _lengths(made: Any) -> Sequence[int]:
    lengths: list[int] = made.lengths.tolist()
    return lengths


def _code() -> str:
    here = [f"cross_tokenizer/{path.name}" for path in Path(__file__).parent.glob("*.py")]
    losses = [
        f"losses/cross_tokenizer/{path.name}"
        for path in (Path(__file__).parents[1] / "losses/cross_tokenizer").glob("*.py")
    ]
    return digest_of_code("output_file.py", "output_encoding.py", "text.py", *sorted(here), *sorted(losses))
