"""A teacher's outputs on the students' text, computed once and read by all students."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...lm.generation import generate
from ...source_digest import source_digest
from ...trial import Context
from ..losses.cross_tokenizer import exact_marginal, marginal, trie
from ..output_file import Outputs, load_or_make, write
from ..student import flops_per_token
from ..teacher import AT_ONCE, OUTPUTS, short
from .prefix_log_probs import encoder, prefix_log_probs
from .tokenizers import TokenizedTexts, Tokenizer, select

SEED_OF_TEXT = 4
"""Of the text that a teacher generates."""
FACTS, STATES = "facts.json", "states.npy"
GENERATED_AT_ONCE = 256
"""Documents that are generated at once."""


@dataclass(frozen=True, eq=False)
class TeacherModel:
    """A teacher, trained here or pretrained.

    Attributes:
        model: ours or one of `lab.core.lm.hugging_face`, on the device.
        key: the cache key of the teacher.
        trained: operations of its training; 0 for a pretrained one.
    """

    model: Any
    tokenizer: Tokenizer
    key: str
    trained: float

    @property
    def per_token(self) -> float:
        """Operations of the forward pass for one token."""
        return flops_per_token(self.model)


@dataclass(frozen=True, eq=False)
class TeacherOutputs:
    """A teacher's outputs on a text, from the cache or computed; `rebuild` makes a damaged file again."""

    teacher: TeacherModel
    text: TokenizedTexts
    rebuild: bool = False

    @property
    def _key(self) -> str:
        vocabularies = self.text.student.digest, self.text.teacher.digest
        return json.dumps(
            ["kd cross-tokenizer", self.teacher.key, self.text.digest, *vocabularies, source_digest(__name__)]
        )

    def outputs(self, context: Context) -> tuple[Outputs, np.ndarray]:
        """Log-probabilities at each of its tokens, row document · tokens + position, and the last hidden states there."""
        folder = context.cached(self._key, lambda folder: self._write(folder))
        path = folder / OUTPUTS
        found = load_or_make(path, lambda: self._full(None), made_by=short(self._key), rebuild=self.rebuild)
        return found, np.load(folder / STATES, mmap_mode="r")

    def targets(self, context: Context, name: str) -> tuple[Outputs, float]:
        """`marginal` or `exact-marginal` at each character, row document · characters + position; and its operations."""
        key = json.dumps([self._key, name])
        facts: dict[str, float] = {}
        make = partial(self._marginals, context, name, facts)

        def fill(folder: Path) -> None:
            write(folder / OUTPUTS, make(), made_by=short(key))
            (folder / FACTS).write_text(json.dumps(facts))

        folder = context.cached(key, fill)
        found = load_or_make(folder / OUTPUTS, make, made_by=short(key), rebuild=self.rebuild)
        return found, float(json.loads((folder / FACTS).read_text())["operations"])

    def generated(self, context: Context, bytes: int) -> list[str]:
        """Texts that the teacher generates, of `bytes` bytes together.

        Raises ValueError: it generates nothing, or no text in UTF-8.
        """
        key = json.dumps([self._key, "writes", bytes])

        def fill(folder: Path) -> None:
            (folder / "text.json").write_text(json.dumps(self._generate(bytes)))

        texts: list[str] = json.loads((context.cached(key, fill) / "text.json").read_text())
        return texts

    @property
    def flops(self) -> float:
        """Operations of its outputs on the whole text."""
        return self.teacher.per_token * self.text.teacher_ids[:, 1:].numel()

    def _write(self, folder: Path) -> None:
        states: list[np.ndarray] = []
        write(folder / OUTPUTS, self._full(states), made_by=short(self._key))
        np.save(folder / STATES, np.concatenate(states))

    def _full(self, states: list[np.ndarray] | None) -> Iterator[Tensor]:
        model = self.teacher.model
        for ids in torch.split(self.text.teacher_ids[:, :-1], AT_ONCE):
            with torch.inference_mode():
                hidden = model.hidden(ids.to(model.embedding.weight.device))
                if states is not None:
                    states.append(hidden.flatten(0, 1).to(torch.float16).cpu().numpy())
                yield model.logits(hidden).float()

    def _marginals(self, context: Context, name: str, facts: dict[str, float]) -> Iterator[Tensor]:
        text, teacher = self.text, self.teacher
        tree = trie(text.student.pieces, text.teacher.pieces)
        ids = text.teacher_ids
        width, length = text.student_ids.shape[1] - 1, ids.shape[1] - 1
        outputs = self.outputs(context)[0] if name == "marginal" else None
        encode, ran = encoder(text.teacher), 0
        for documents in torch.split(torch.arange(len(ids), device="cpu"), AT_ONCE):
            if outputs is not None:
                log_p = outputs.read(documents[:, None] * length + torch.arange(length, device="cpu"))
                assert isinstance(log_p, Tensor)  # full outputs are a tensor
                yield marginal(log_p.float(), select(text.spans, documents), tree)
                continue
            counted: list[int] = []

            def log_probs(
                prefixes: list[tuple[int, ...]], documents: Tensor = documents, counted: list[int] = counted
            ) -> Tensor:
                device = teacher.model.embedding.weight.device
                found, tokens = prefix_log_probs(teacher.model, ids[documents].to(device), prefixes)
                counted.append(tokens)
                return found

            found = exact_marginal(log_probs, encode, [text.tokens[i][0] for i in documents.tolist()], tree)
            ran += sum(counted)
            yield torch.nn.functional.pad(found, (0, 0, 0, width - found.shape[1]))
        facts["operations"] = self.flops if outputs is not None else teacher.per_token * ran

    def _generate(self, bytes: int) -> list[str]:
        model, tokenizer = self.teacher.model, self.text.teacher
        device = model.embedding.weight.device
        length = self.text.teacher_ids.shape[1] - 1
        draws = torch.Generator(device).manual_seed(SEED_OF_TEXT)
        texts, lacking = list[str](), bytes
        while lacking > 0:
            completions = generate(
                model,
                [[tokenizer.start]] * GENERATED_AT_ONCE,
                max_new_tokens=length,
                eos=tokenizer.end,
                pad=tokenizer.pad,
                generator=draws,
            )
            before = lacking
            for row, count in zip(completions.ids.tolist(), completions.lengths.tolist(), strict=True):
                written = b"".join(tokenizer.pieces[i] for i in row[:count])[:lacking].decode(errors="ignore")
                if written and lacking > 0:
                    texts.append(written)
                    lacking -= max(1, len(written.encode()))
            if lacking == before:
                raise ValueError("the teacher writes no text that could be learnt from")
        return texts
