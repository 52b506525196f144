"""Softmax compiled for the CPU by Numba: `backend` is what the registry calls.

* `backend`: tensors in, tensors out, with gradients.
* `tensors`: tensors as matrices, shared out among threads; `matrix`: the same as kernels see it.
* `rows`: safe and online softmax over rows; `two_pass`, `logarithms`, `topk`: the other outputs and forms.
* `columns`: one row shared out by columns.
* `exponential`: e^a by a polynomial; `bits`: halves widened and narrowed, floats as integers.

`backend` and `tensors` import the kernels when they are first called: Numba need not be there.
"""
