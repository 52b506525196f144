"""Flash attention for the GPU in Triton: `backend` is what the registry calls.

* `kind`: what is compiled into a kernel; `tuning`: the sizes of its tiles, timed where it pays.
* `order`: which block of which sequence a program computes, and which tiles an edge of the band crosses.
* `scores`: what is done to a tile of scores before the softmax, and products that ignore masked NaN.
* `choices`: the choices of dropout, made where they are used.
* `forward`, `backward`: Algorithms 1 and 2 of FlashAttention-2; dK with dV, and dQ, apart; no atomics.
* `backend`: the kernels as a PyTorch function with gradients.

Nothing here is imported before a call needs it: Triton need not be there.
"""
