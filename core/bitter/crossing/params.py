"""The parameters of `lab run bitter`. Importing this costs no torch."""

from __future__ import annotations

from typing import Self

from pydantic import Field, ValidationInfo, model_validator

from ...own_files import is_reference
from ...suggest import nearest
from ...trial import Params as _Params

MODELS = ("convolution", "local", "relaxed", "mlp", "crossing")


class Params(_Params):
    """A target, a model that learns it, and how."""

    model: str = "mlp"
    """convolution: with ties, windows and a mean built in; mlp: as many hidden units, nothing built in; local, relaxed: the trained
    convolution goes on as a locally connected or as a dense network; crossing: where mlp passes the convolution, at up to
    `samples`."""
    implementation: str = ""
    """A model of yours, ./file.py:function: a function of the number of inputs that returns a torch module."""
    nonlocal_share: float = Field(0.1, ge=0, le=1)
    """λ, the share of the target's variance that no convolution with a mean can learn."""
    samples: int = Field(4096, ge=1)
    """N, what is learnt from."""
    filters: int = Field(4, ge=1)
    """Of the target's local part."""
    window: int = Field(5, ge=1, le=16)
    """Neighbours that a filter sees, of the target and of the models; 17 would hold both inputs of a pair."""
    width: int = Field(16, ge=1)
    """Channels of the convolution; the other networks have 32 times as many hidden units."""
    steps: int = Field(1000, ge=2)
    """Updates, of every model."""
    batch: int = Field(128, ge=1)
    """Samples of an update."""
    learning_rate: float = Field(0.01, gt=0, allow_inf_nan=False)
    """The highest, of every model."""
    relax_at: float = Field(0.5, gt=0, lt=1)
    """Of local and relaxed: the share of the steps after which the convolution's ties are cut."""
    smallest: int = Field(64, ge=1)
    """Of crossing: it looks at `samples`, a quarter of them, and so on down to this."""
    test_samples: int = Field(8192, ge=2)
    """New inputs, on which errors are taken."""
    first_seed: int = Field(0, ge=0)
    """Added to every seed: what is tried out and calibrated on some teachers is judged on others."""

    @model_validator(mode="after")
    def _has_a_model(self, info: ValidationInfo) -> Self:
        if self.is_own:
            if info.context is not None:
                info.context.load(self.implementation)
        elif self.model not in MODELS:
            raise ValueError(f"no model {self.model!r}.{nearest(self.model, MODELS)}")
        return self

    @property
    def is_own(self) -> bool:
        """Whether the model is the user's."""
        return is_reference(self.implementation)
