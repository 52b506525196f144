"""The objective of a student: the text, the teacher's outputs on it, and the loss of each signal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..lm.attention_maps import maps_of
from ..lm.model import Config, Transformer
from ..position import encoding
from ..trial import Refused
from .chunked import loss_by_chunks
from .internals import hidden_states_and_qkv, queries_keys_values
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
"""Weights of distances and angles (Park et al., arXiv:1904.05068), as in RepDistiller."""
CRD_WIDTH = 128
"""Width of the space in which `crd` compares states, as in the code of Tian et al. (arXiv:1910.10699)."""


@dataclass(frozen=True)
class Objective:
    """The text and a teacher's outputs on it. A token's row in the outputs is document · (columns − 1) + position.

    Attributes:
        ids: (documents, columns); each token but the last of a row predicts the next one.
        weights: of the signals, by name.
        outputs: of the teacher, by the signal that reads them.
        states: (tokens, d_T), the teacher's last hidden states; None where no signal reads them.
        heads: (tokens, heads + 2 · kv_heads, head_dim), the teacher's last queries, keys and values; None likewise.
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
        """True for means over tokens, since all documents are equally long; false for relations between tokens."""
        return not self.weights.keys() & {*STATES, *HEADS}

    def modules(self, width: int, draws: torch.Generator) -> dict[str, nn.Linear]:
        """Projectors, where states are compared one by one."""
        if self.states is None:
            return {}
        teacher_width, widths = self.states.shape[1], dict[str, tuple[int, int]]()
        if "feature" in self.weights:
            widths["projector"] = width, teacher_width
        if "crd" in self.weights:
            widths |= {"crd_student": (width, CRD_WIDTH), "crd_teacher": (teacher_width, CRD_WIDTH)}
        return {name: linear_projector(*pair, generator=draws) for name, pair in widths.items()}

    def loss(self, student: Student, documents: Tensor) -> Tensor:
        """The weighted sum of all signals on these documents, a scalar."""
        ids = self.ids[documents].to(student.device)
        labels = ids[:, 1:]
        rows = documents[:, None] * (ids.shape[1] - 1) + torch.arange(ids.shape[1] - 1, device="cpu")
        if self.adds_up:
            return self._of_all_tokens(student, student.model.hidden(ids[:, :-1]), labels, rows)
        hidden_states, qkv = hidden_states_and_qkv(student.model, ids[:, :-1])
        logits = student.model.logits(hidden_states)

        def signal(name: str) -> Tensor:
            if name in HEADS:
                return self._of_heads(name, student, qkv, rows)
            if name in STATES:
                return self._of_states(name, student, hidden_states, labels, rows)
            return self._of_tokens(name, logits, labels, rows)

        return self._sum(signal)

    def _sum(self, signal: Callable[[str], Tensor]) -> Tensor:
        """Of all signals' losses, each times its weight."""
        terms = [
            signal(name) if weight == 1 else weight * signal(name) for name, weight in self.weights.items()
        ]
        return terms[0] if len(terms) == 1 else torch.stack(terms).sum()

    def _of_all_tokens(self, student: Student, hidden_states: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        model = student.model
        by_chunks = (
            isinstance(model, Transformer)
            and model.has_plain_logits
            and student.device.type == "cpu"
            and torch.is_grad_enabled()
        )

        def of_some(logits: Tensor, which: slice) -> Tensor:
            def signal(name: str) -> Tensor:
                # Nobody else has the logits of a chunk; each loss has its gradient before the next one is computed.
                named = {"num_items": labels.numel(), "in_place": by_chunks and name == last}
                return self._of_tokens(name, logits, labels[which], rows[which], **named)

            return self._sum(signal)

        *_, last = self.weights
        if by_chunks:
            return loss_by_chunks(hidden_states, student.model.head.weight, of_some)
        return of_some(student.model.logits(hidden_states), slice(None))

    def _of_tokens(self, name: str, logits: Tensor, labels: Tensor, rows: Tensor, **named: Any) -> Tensor:
        if name == "data":
            return hard_data(logits, labels, **named)
        T = self.temperature
        output: Any = _to(self.outputs[name].read(rows), logits.device)
        if name == "soft":
            return forward_kl(logits, output, temperature=T, **named)
        if name in ("draw", "sampled"):
            return random_sampling(logits, output, temperature=T, **named)
        if name not in ("hard", "top-k"):
            raise _without_loss(name)
        rest = self.rest if name == "top-k" else "renormalise"
        needed = labels if rest == "truth" else None
        return top_k(logits, output, temperature=T, rest=rest, labels=needed, **named)

    def _of_states(
        self, name: str, student: Student, hidden_states: Tensor, labels: Tensor, rows: Tensor
    ) -> Tensor:
        of_teacher = _rows_of(self.states, rows, hidden_states)
        if name == "crd":
            return crd(
                hidden_states,
                of_teacher,
                student_projector=student.modules["crd_student"],
                teacher_projector=student.modules["crd_teacher"],
                labels=labels,
                generator=student.draws,
            )
        if name == "feature":
            return feature(hidden_states, of_teacher, projector=student.modules["projector"])
        if name == "similarity":
            return similarity(hidden_states, of_teacher, generator=student.draws)
        if name != "rkd":
            raise _without_loss(name)
        distance = rkd_distance(hidden_states, of_teacher, generator=student.draws)
        angle = rkd_angle(hidden_states, of_teacher, generator=student.draws)
        return RKD_DISTANCE * distance + RKD_ANGLE * angle

    def _of_heads(self, name: str, student: Student, qkv: Tensor, rows: Tensor) -> Tensor:
        config, teacher_config = student.model.config, self.teacher
        of_teacher = _rows_of(self.heads, rows, qkv)
        if name == "attention":
            match = "match" if config.heads == teacher_config.heads else "mean"
            of_config = encoding(teacher_config.position, teacher_config.sizes)
            if of_config.bias is not None:
                raise Refused(
                    f"signal attention: a teacher's file does not hold what its position {teacher_config.position} has learned"
                )
            maps = (
                maps_of(qkv, config, student.model.encoding),
                maps_of(of_teacher, teacher_config, of_config),
            )
            return attention_transfer(*maps, kind="kl", heads=match)
        if name != "minilm":
            raise _without_loss(name)
        parts = queries_keys_values(qkv, config), queries_keys_values(of_teacher, teacher_config)
        return minilm_relations(*parts, relation_heads=config.heads, causal=True)


def _without_loss(name: str) -> AssertionError:
    """One that `signals` has and this file has not, which must not learn from another signal's loss."""
    return AssertionError(f"the signal {name} has no loss in objective.py")


def _rows_of(array: np.ndarray | None, rows: Tensor, like: Tensor) -> Tensor:
    """Rows of a teacher's file, in float32, on the device of `like`."""
    assert array is not None, "the objective has it where a signal reads it"
    return torch.from_numpy(array[rows.numpy()]).float().to(like.device)


def _to(output: Any, device: torch.device) -> Any:
    """A teacher's output on another device; logits keep their dtype, a loss widens a slab of them at a time."""
    return output.to(device) if isinstance(output, Tensor) else output.on(device)
