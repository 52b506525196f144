"""Knowledge distillation: a small model learns from the outputs of a larger one.

* `language`: a language whose next-token probabilities are known exactly under every tokeniser; `text`: its texts.
* `losses`: the loss functions.
* `signals`: what a student may learn from; `params`: what an experiment may vary, with `shared_params` of both trainings.
* `teacher`: a teacher, trained once, and its outputs; `output_file`, `output_encoding`: the file that holds them.
* `internals`: hidden states, queries, keys, values and attention maps of a model.
* `objective`: the text, the teacher's outputs and the loss of each signal, `chunked`: some documents' logits at a time;
  `student`: a model that learns from it.
* `evaluation`: the distance from the truth during training; `trial`: one training of `lab run kd`; `kernels`: what a run
  compiles beforehand.
* `cross_tokenizer`: students of other tokens than their teacher's, `lab run kd-cross-tokenizer`.
* `on_policy`: one update on the student's own samples; its `bias`, `lab run on-policy-bias`.
* `bias`: minimisers and gradients of losses where the truth is known, without training, `lab run kd-loss-bias`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import names_of

if TYPE_CHECKING:
    from .language import Language, word_hmm

__all__ = ["Language", "word_hmm"]

if not TYPE_CHECKING:
    __getattr__ = names_of(__name__)
