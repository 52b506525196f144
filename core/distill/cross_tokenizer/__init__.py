"""Distillation between models of different tokens, with real training: `lab run kd-cross-tokenizer`.

* `signals`: what a student may learn from; `params`: what an experiment may vary; `checks`: of pretrained models.
* `tokenizers`: one text in the tokens of two models, and their common spans; `figure` draws one sentence of it.
* `teacher_outputs`: the teacher's outputs on the text, from the cache; `prefix_log_probs`: after prefixes absent from it.
* `objective`: the loss of each signal. The loss functions themselves are in `losses.cross_tokenizer`.
* `evaluation`: bits per byte of held-out text; `models`: all of these made from the parameters; `trial`: one training.
"""
