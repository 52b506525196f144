"""What a student of the teacher's own tokens is taught: a text, and what the teacher told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..lm.model import Config
from .internals import attention_maps, looked_into, queries_keys_values
from .losses import (
    attention_transfer,
    crd,
    feature,
    forward_kl,
    hard_data,
    linear_projector,
    minilm_relations,
    random_sampling,
    rkd_angle,
    rkd_distance,
    similarity,
    top_k,
)
from .output_file import Outputs
from .signals import HEADS, STATES
from .student import Student

RKD_DISTANCE, RKD_ANGLE = 25.0, 50.0
"""Of distances and angles (Park et al., arXiv:1904.05068), as in RepDistiller."""
CRD_WIDTH = 128
"""Of the space in which states are told apart, as in the code of Tian et al. (arXiv:1910.10699)."""


@dataclass(frozen=True)
class Lesson:
    """The text, and what a teacher told of it. Tokens are counted through: document · (columns − 1) + position.

    Attributes:
        ids: (documents, columns); each token but the last of a row tells the next one.
        weights: of the signals, by name.
        outputs: of the teacher, by the signal that reads them.
        states: (tokens, d_T), the teacher's last states; None where nothing reads them.
        heads: (tokens, heads + 2 · kv_heads, head_dim), the teacher's last queries, keys and values; the same.
        teacher: its shape.
        rest: of `top_k`.
    """

    ids: Tensor
    weights: Mapping[str, float]
    outputs: Mapping[str, Outputs]
    states: np.ndarray | None
    heads: np.ndarray | None
    teacher: Config
    temperature: float = 1.0
    rest: str = "renormalise"

    @property
    def documents(self) -> int:
        return len(self.ids)

    @property
    def tokens_of_document(self) -> float:
        return float(self.ids.shape[1] - 1)

    @property
    def adds_up(self) -> bool:
        """What is a mean over tokens, of documents that have as many each, does; relations between tokens do not."""
        return not self.weights.keys() & {*STATES, *HEADS}

    def modules(self, width: int, draws: torch.Generator) -> dict[str, nn.Linear]:
        """Projectors, where states are compared one by one."""
        if self.states is None:
            return {}
        wide, widths = self.states.shape[1], dict[str, tuple[int, int]]()
        if "feature" in self.weights:
            widths["projector"] = width, wide
        if "crd" in self.weights:
            widths |= {"crd_student": (width, CRD_WIDTH), "crd_teacher": (wide, CRD_WIDTH)}
        return {name: linear_projector(*pair, generator=draws) for name, pair in widths.items()}

    def loss(self, student: Student, rows: Tensor) -> Tensor:
        """The weighted sum of all signals on these documents, a scalar."""
        ids = self.ids[rows].to(student.device)
        # A hook on a model that several threads use would be everybody's.
        plain = self.adds_up
        hidden, qkv = (
            (student.model.hidden(ids[:, :-1]), None) if plain else looked_into(student.model, ids[:, :-1])
        )
        logits = student.model.logits(hidden)
        told = rows[:, None] * (ids.shape[1] - 1) + torch.arange(ids.shape[1] - 1, device="cpu")

        def signal(name: str) -> Tensor:
            if name in HEADS:
                assert qkv is not None
                return self._of_heads(name, student, qkv, told)
            if name in STATES:
                return self._of_states(name, student, hidden, ids[:, 1:], told)
            return self._of_tokens(name, logits, ids[:, 1:], told)

        return torch.stack([weight * signal(name) for name, weight in self.weights.items()]).sum()

    def _of_tokens(self, name: str, logits: Tensor, labels: Tensor, told: Tensor) -> Tensor:
        if name == "data":
            return hard_data(logits, labels)
        T = self.temperature
        output: Any = _on(self.outputs[name].read(told), logits.device)
        if name == "soft":
            return forward_kl(logits, output, temperature=T)
        if name in ("draw", "sampled"):
            return random_sampling(logits, output, temperature=T)
        rest = self.rest if name == "top-k" else "renormalise"
        return top_k(logits, output, temperature=T, rest=rest, labels=labels if rest == "truth" else None)

    def _of_states(self, name: str, student: Student, hidden: Tensor, labels: Tensor, told: Tensor) -> Tensor:
        states = _at(self.states, told, hidden)
        if name == "crd":
            ours, theirs = student.modules["crd_student"], student.modules["crd_teacher"]
            return crd(
                hidden,
                states,
                student_projector=ours,
                teacher_projector=theirs,
                labels=labels,
                generator=student.draws,
            )
        if name == "feature":
            return feature(hidden, states, projector=student.modules["projector"])
        if name == "similarity":
            return similarity(hidden, states, generator=student.draws)
        distance = rkd_distance(hidden, states, generator=student.draws)
        angle = rkd_angle(hidden, states, generator=student.draws)
        return RKD_DISTANCE * distance + RKD_ANGLE * angle

    def _of_heads(self, name: str, student: Student, qkv: Tensor, told: Tensor) -> Tensor:
        ours, theirs = student.model.config, self.teacher
        of_teacher = _at(self.heads, told, qkv)
        if name == "attention":
            match = "match" if ours.heads == theirs.heads else "mean"
            maps = attention_maps(qkv, ours), attention_maps(of_teacher, theirs)
            return attention_transfer(*maps, kind="kl", heads=match)
        parts = queries_keys_values(qkv, ours), queries_keys_values(of_teacher, theirs)
        return minilm_relations(*parts, relation_heads=ours.heads, causal=True)


def _at(rows: np.ndarray | None, told: Tensor, like: Tensor) -> Tensor:
    """Rows of a teacher's file for these tokens, in float32, where `like` is."""
    assert rows is not None, "the lesson has them where a signal reads them"
    return torch.from_numpy(rows[told.numpy()]).float().to(like.device)


def _on(output: Any, device: torch.device) -> Any:
    """A teacher's output on another device; logits stay as they are, a loss widens a slab of them at a time."""
    if isinstance(output, Tensor):
        return output.to(device)
    from dataclasses import fields, replace

    moved = {
        f.name: getattr(output, f.name).to(device)
        for f in fields(output)
        if f.name not in ("vocabulary", "temperature")
    }
    return replace(output, **moved)
