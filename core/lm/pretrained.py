"""A pretrained model as experiment files write it: {hf: ./folder}. Importing this costs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict


class PretrainedModel(BaseModel):
    """A model in Hugging Face's format."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    hf: Path
    """A folder with a causal model and its tokenizer, made by `save_pretrained`."""


def written_as_model(value: object) -> object:
    """The value, for a field's validator before pydantic's own, whose error would have several lines.

    Raises:
        ValueError: anything but {hf: folder}, a `PretrainedModel`, or None.
    """
    if isinstance(value, PretrainedModel) or value is None:
        return value
    if not (isinstance(value, Mapping) and set(value) == {"hf"} and isinstance(value["hf"], str | Path)):
        raise ValueError(f"{value!r} is no model; write it as {{hf: ./folder}}")
    return value
