"""An arm by name: the encoding that it is trained with, and the one that it is tested with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ..lm.model import Config
from ..own_files import is_reference
from ..position import Encoding, encoding
from ..position.biases import t5
from ..position.longer_rotary import interpolated, ntk, yarn
from ..position.own_places import coupled
from ..position.user_encoding import user_encoding
from .params import STRETCHED, Params
from .tasks import Task

Load = Callable[[str], Callable[..., Any]]


@dataclass(frozen=True)
class Arm:
    """Encodings by name.

    Attributes:
        trained: of training. then: of a second training, shorter; None: there is none.
        tested: what takes its place at test, without training.
    """

    trained: str
    then: str | None = None
    tested: str | None = None


def arm_of(name: str) -> Arm:
    """The arm that is called so."""
    if name in STRETCHED:
        return Arm("rope", tested=name)
    return {"drope": Arm("rope", then="none"), "rope-longer": Arm("rope", then="rope")}.get(name, Arm(name))


def config_of(params: Params, task: Task) -> Config:
    """Of a model that reads texts of all lengths at which checkpoints are judged."""
    return Config(
        task.vocabulary,
        task.tokens(params.judged_at[-1]),
        params.d_model,
        params.layers,
        params.heads,
        params.heads,
        params.d_ff,
        position="none",
        rope_theta=params.theta,
        trained=task.tokens(params.trained),
    )


def encoding_of(name: str, params: Params, task: Task, load: Load, length: int | None = None) -> Encoding:
    """An encoding for the model of `config_of`; `length`, in items, is what rope-pi, rope-ntk and rope-yarn are stretched to.

    T5's last bucket begins where distances of training end, so that none is left untrained, and positions that are coupled are
    as many as the longest number needs.

    Raises EncodingError: a user's is none.
    """
    sizes = config_of(params, task).sizes
    if is_reference(name):
        return user_encoding(load(name), name.rpartition(":")[2], sizes)
    if name == "t5":
        return t5(sizes, buckets=min(32, sizes.seen), farthest=sizes.seen)
    if name == "coupled":
        return coupled(replace(sizes, context=params.judged_at[-1] + 3), task.separators)
    if name not in STRETCHED:
        return encoding(name, sizes)
    factor = params.factor
    if factor is None:
        factor = max(1.0, task.tokens(length or params.trained) / sizes.seen)
    if name == "rope-yarn":
        return yarn(sizes, factor, fast=params.turns)
    return interpolated(sizes, factor) if name == "rope-pi" else ntk(sizes, factor)
