"""Knowledge distillation: what a small model learns from the outputs of a larger one.

* `language`: a language whose next-token probabilities are known exactly under every tokeniser.
* `losses`: what a student may be taught by.
* `signals`, `teacher`, `lesson`, `student`, `examination`, `trial`: `lab run kd`, a student of the teacher's own tokens.
* `cross_tokenizer`: a student of other tokens.
* `bias`: where losses lead a student that knows the truth, without training.

Names load when they are first asked for, so that importing `lab.core.distill` costs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import names_of

if TYPE_CHECKING:
    from .language import Language, word_hmm

__all__ = ["Language", "word_hmm"]

if not TYPE_CHECKING:
    __getattr__ = names_of(__name__, {"language": ("Language", "word_hmm")})
