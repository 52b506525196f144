"""Flash attention for the GPU in Triton: `backend` is what the registry calls.

* `scores`: what is done to a tile of scores before the softmax, and products that no hidden NaN gets into.
* `forward`, `backward`: Algorithms 1 and 2 of FlashAttention-2; dK with dV and dQ in kernels of their own, no atomics.

Nothing here is imported before a call asks for it: Triton need not be there.
"""
