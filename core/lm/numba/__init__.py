"""What Numba compiles for the small transformer on the CPU.

* `decode`: the next token of many rows, through all layers and the draw; `cached_attention`: attention of one query over a cache;
  `passes`: RMSNorm, SwiGLU and rotary positions of rows; `draw`: a token out of a row of logits.
* For training, with gradients: `rows`: RMSNorm with residual addition, SwiGLU, rotary positions; `attention`: of short sequences
  that share beginnings; `chosen`: log-probability and entropy out of logits.

Nothing here is imported before a call needs it: Numba takes a third of a second to load, and need not be there.
"""
