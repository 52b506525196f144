"""Common to all that Numba compiles, in any subject.

* `switch`: whether small transformers use it. `code`: whether Numba is there, and the folder of compiled code; `kept`: how it lies there; `kernel`: how it compiles;
  `ahead`: what is compiled before a run; `awake`: Numba loaded before processes are forked.
* `team`: threads for compiled code, torch's own or those of `pool`; `shares`: work in shares, as compiled code hands it
  to a team; `atomics`: numbers that several threads use at once. `threads`: work on threads of Python.
* `vectors`: the matrix product of one register block, in explicit vectors; `products`: products of any size out of it;
  `matrices`: the product of two tensors on several threads.
* `exponential`, `logarithm`: 2^x, e^x, tanh and log x as polynomials.

Nothing here but `switch`, `code`, `ahead`, `awake`, `team`, `matrices` and `threads` can be imported without Numba, which takes a third
of a second to load.
"""
