"""A pretrained student and a pretrained teacher: whether they fit together."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from ..distill.on_policy import check_same_tokens
from ..lm.hugging_face import load


@lru_cache
def check_pretrained_teacher(student: Path, teacher: Path) -> None:
    """Raises ValueError: a model cannot be loaded, or the two do not have the same tokens."""
    try:
        words = [load(folder)[1] for folder in (student, teacher)]
    except (OSError, ImportError) as error:
        raise ValueError(str(error)) from error
    check_same_tokens(*words)
