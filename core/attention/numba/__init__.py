"""Flash attention compiled for the CPU by Numba: `backend` is what the registry calls.

* `arguments`: the arguments of compiled code, and `job`: how it reads them; `instructions`: what LLVM adds to those of
  `core/compiled/`.
* `blocks`: the band of a block of queries, and its rows into lanes and back; `masks`: a mask, tile by tile.
* `softmax`: what is done to a tile of scores between the products; `masked_products`: products that ignore masked NaN.
* `forward`, `backward`: Algorithms 1 and 2 of FlashAttention-2, one block of queries after another; `decode`: few queries
  beside many keys, cut into parts.
* `backend`: the kernels as a PyTorch function with gradients.

Nothing here is imported before a call needs it: Numba takes a third of a second to load, and need not be there.
"""
