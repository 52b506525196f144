"""A small decoder-only transformer, trained here or loaded, and what sampling and training need of it.

* `vocabulary`: text to token ids and back; `language_model`: what any model and its vocabulary offer.
* `model`: the transformer; `operations`: RMSNorm and SwiGLU; `products`: linear layers; `attention_maps`: its probabilities
  of attention.
* `cache`: keys and values of earlier tokens; `generation`: sampled completions; `decoder`: the same by compiled
  steps; `scoring`: log-probabilities of given ones.
* `numba/`: kernels; `compiled_or_torch`: whether they compute; `blocks`: the transformer's blocks by them, one function with its
  gradient; `chosen`: log-probabilities out of states; `packed`: sequences without padding; `workspace`: memory that is used again.
* `training`: next-token training; `muon`: its optimizer of matrices;
  `gradients`: a batch's gradient in parts, `parallel`: on several cores;
  `precision`: what half precision is too coarse for; `not_finite`: the error that ends a training.
* `pretrained`: a pretrained model as experiment files write it; `hugging_face`: models and tokenizers of transformers.
"""
