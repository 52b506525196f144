"""Response losses compiled for the CPU by Numba, their gradients with them.

* `rows`: the kernels, over rows of logits.
* `backend`: tensors in, the sum of the losses and the gradient out. It imports the kernels when they are first called.
"""
