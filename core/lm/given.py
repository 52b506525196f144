"""A model that the user gives, as experiment files write it: {hf: ./folder}. Importing this costs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict


class Given(BaseModel):
    """A model of Hugging Face's."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    hf: Path
    """A folder with a causal model and its tokenizer, made by `save_pretrained`."""


def written_as_model(value: object) -> object:
    """For a field's validator, before pydantic's own: a mistake of form raises one line.

    Raises:
        ValueError: anything but {hf: folder}, a `Given`, or None.
    """
    if isinstance(value, Given) or value is None:
        return value
    if not (isinstance(value, Mapping) and set(value) == {"hf"} and isinstance(value["hf"], str | Path)):
        raise ValueError(f"{value!r} is no model; write it as {{hf: ./folder}}")
    return value
