"""Flash attention compiled for the CPU by Numba: `backend` is what the registry calls.

* `vectors`: the matrix product of one register block, in explicit vectors.
* `products`: matrix products of any size out of it.
* `exponential`: 2^x and tanh as polynomials.
* `softmax`: what is done to a tile of scores between the products.
* `masked_products`: products that ignore masked NaN.
* `forward`, `backward`: Algorithms 1 and 2 of FlashAttention-2, one block of queries after another.
* `decode`: few queries beside many keys, cut into parts.
* `compiling`: how Numba is asked to compile.

Nothing here is imported before a call asks for it: Numba takes a third of a second to load, and need not be there.
"""
