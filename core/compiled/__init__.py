"""Common to all that Numba compiles, in any subject.

* `code`: whether Numba is there, and the folder of compiled code; `kernel`: how it compiles.
* `threads`: work on several threads.
* `vectors`: the matrix product of one register block, in explicit vectors; `products`: products of any size out of it;
  `matrices`: the product of two tensors on several threads.
* `exponential`: 2^x and tanh as polynomials.

Nothing here but `code`, `matrices` and `threads` can be imported without Numba, which takes a third of a second to load.
"""
