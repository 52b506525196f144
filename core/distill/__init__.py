"""Knowledge distillation: what a small model learns from the outputs of a larger one.

* `language`: a language whose next-token probabilities are known exactly under every tokeniser.
* `losses`: what a student may be taught by.

Names load when they are first asked for, so that importing `lab.core.distill` costs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .language import Language, word_hmm

__all__ = ["Language", "word_hmm"]

_MODULES = {"language": ("Language", "word_hmm")}

if not TYPE_CHECKING:  # a type checker reads the imports above, and should go on catching misspelt names

    def __getattr__(name: str) -> object:
        for module, names in _MODULES.items():
            if name in names:
                return getattr(import_module(f".{module}", __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
