"""What the flash-attention papers say of numbers, emulated on a CPU.

* `formats`: rounding to a narrower format, fp8 with scales, Hadamard matrices.
* `tiles`: flash attention whose P, accumulators and rescaling are as narrow as one says; standard attention beside it.
* `counted`: Algorithm 1 of FlashAttention and of FlashAttention-2, counting what is no matrix product.
* `chunked`: attention in chunks with checkpoints, by Rabe and Staats.
* `ties`: the bias of a sum in bf16 in which several P are 1.
* `params`: what an experiment may vary; `measured`: the figures of one draw; `trial`: a draw, as an experiment runs it.
"""
