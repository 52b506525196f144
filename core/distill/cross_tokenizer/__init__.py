"""Distillation between models of different tokens, with real training: the experiment `kd-cross-tokenizer`.

* `names`: the signals; `trial`: the knobs, and one training.
* `sides`: one text in the tokens of two models, and where these agree; `drawing` shows one sentence of it.
* `told`: what a teacher says of the text, from the cache; `asked`: what it says behind beginnings that the text has not.
* `student`: the loss of each signal.
"""
