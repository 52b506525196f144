"""Softmax for the GPU in Triton: `backend` is what the registry calls.

* `backend`: tensors in, tensors out, with gradients.
* `kernels`: one program for each row, safe, online and in two passes.

`backend` imports `kernels` when it is first called: Triton need not be there.
"""
