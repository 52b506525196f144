"""The parameters of `lab run position`. Importing this costs no torch."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, ValidationInfo, model_validator

from ..own_files import is_reference
from ..position.names import GENERATING, OWN_PLACES, check_heads, check_name
from ..suggest import nearest
from ..trial import Params as AnyParams

TASKS = "copy", "count", "induction", "retrieval", "addition"
STRETCHED = "rope-pi", "rope-ntk", "rope-yarn"
AFTERWARDS = "drope", "rope-longer"
ARMS = (*GENERATING, *OWN_PLACES, *AFTERWARDS)


class Params(AnyParams):
    """Defaults, which an experiment's file may change."""

    implementation: str = ""
    """An arm: an encoding of positions by name; rope-pi, rope-ntk and rope-yarn are trained as rope; drope is rope without its
    rotations after training, recalibrated, and rope-longer rope that is trained for as many steps more. Or a function of yours,
    ./file.py:function, of `Sizes` to an `Encoding` of lab.core.position. Empty: the variant's own name."""
    task: Literal["copy", "count", "induction", "retrieval", "addition"] = "copy"
    """copy: say a text again; count: one of items that are all alike; induction: go on from a place that a token shows;
    retrieval: the values of keys; addition: of two numbers, the lowest digit first."""
    length: int | None = Field(None, ge=1)
    """Items of a text that is tested; of addition the digits of a number. One of `lengths`, `trained` or twice that; left out,
    trained."""
    trained: int = Field(16, ge=1)
    """Items of the longest text of training; each length up to it is as frequent."""
    lengths: list[int] = Field([16, 24, 32, 48, 64], min_length=1)
    """Lengths at which checkpoints are compared."""
    symbols: int = Field(12, ge=2, le=1000)
    """Of which items, or values, are; addition has ten digits."""

    theta: float = Field(10_000.0, gt=1, allow_inf_nan=False)
    """The base of the frequencies of sinusoids and rotations."""
    factor: float | None = Field(None, gt=0, allow_inf_nan=False)
    """Of rope-pi, rope-ntk and rope-yarn: how many times longer texts are than in training; left out, as many as they are."""
    turns: float = Field(4.0, gt=1, allow_inf_nan=False)
    """Of rope-yarn: what turns more often than this in a text of training keeps its frequency. With the 32 of the paper, whose
    texts have thousands of tokens, nothing would."""
    recalibration: float = Field(0.2, gt=0, le=1)
    """Of drope and rope-longer: the share of the steps that are trained after training."""

    d_model: int = Field(64, ge=4)
    """Width of the model."""
    layers: int = Field(2, ge=1)
    """Its blocks."""
    heads: int = Field(4, ge=1)
    """Of queries, and as many of keys."""
    d_ff: int = Field(192, ge=4)
    """Width of its gated layers."""
    steps: dict[str, int] = {
        "copy": 1000,
        "count": 400,
        "induction": 4000,
        "retrieval": 4000,
        "addition": 1600,
    }
    """Of training, by task; each is on texts that are drawn anew."""
    batch: int = Field(32, ge=1)
    """Texts in a step."""
    learning_rate: float = Field(3e-3, gt=0, allow_inf_nan=False)
    """The highest, of AdamW: embedding, output and what an encoding learns."""
    matrix_learning_rate: float = Field(1e-2, gt=0, allow_inf_nan=False)
    """The highest, of Muon: the matrices of blocks."""

    checkpoints: int = Field(16, ge=1)
    """Of a training, evenly spread."""
    selection: int = Field(64, ge=1)
    """Problems of each length by which checkpoints and factors are chosen."""
    problems: int = Field(200, ge=1)
    """Others, by which what was chosen is measured."""
    first_seed: int = Field(0, ge=0)
    """Added to every seed, so that what is tuned on some seeds is judged on others."""

    @model_validator(mode="after")
    def _fits(self, info: ValidationInfo) -> Self:
        for length in self.lengths:
            if length < 1:
                raise ValueError(f"lengths has {length}; a text has at least 1 item")
        if self.tested not in self.judged_at:
            known = ", ".join(map(str, self.judged_at))
            raise ValueError(
                f"length is {self.length}, where no checkpoint is judged: lengths, trained and its double are {known}"
            )
        for name, steps in self.steps.items():
            if name not in TASKS:
                raise ValueError(f"steps: no task {name}.{nearest(name, TASKS)}")
            if steps < 1:
                raise ValueError(f"steps of {name} is {steps}; it must be at least 1")
        if self.task not in self.steps:
            raise ValueError(f"steps says nothing of {self.task}: add {self.task}: 600 to it")
        if is_reference(self.implementation):
            check_heads("", self.d_model, self.heads)
            if info.context is not None:
                info.context.load(self.implementation)
        else:
            # Left out, it is the variant's name, which is not known here: some are rotary.
            name = "rope" if self.implementation in ("", *AFTERWARDS) else self.implementation
            check_heads(check_name(name, ARMS), self.d_model, self.heads)
        if self.implementation == "coupled" and self.task != "addition":
            raise ValueError(f"coupled: digits of one worth share a position, and {self.task} has no numbers")
        if self.factor is not None and self.implementation not in ("", *STRETCHED):
            raise ValueError(
                f"factor means nothing to {self.implementation}: it is of {', '.join(STRETCHED)}"
            )
        return self

    @property
    def tested(self) -> int:
        """Items of a text that is tested."""
        return self.trained if self.length is None else self.length

    @property
    def judged_at(self) -> list[int]:
        """All lengths at which checkpoints are compared."""
        return sorted({*self.lengths, self.trained, 2 * self.trained})

    @property
    def more_steps(self) -> int:
        """Of drope and rope-longer, after training."""
        return max(1, round(self.recalibration * self.steps[self.task]))
