"""Softmax compiled for the CPU by Numba: `backend` is what the registry calls.

* `backend`: tensors in, tensors out, with gradients.
* `tensors`: tensors as rows, shared out among threads.
* `rows`: safe and online softmax over rows; `two_pass`, `logarithms`, `topk`: the other outputs and forms.
* `columns`: one row shared out by columns.
* `exponential`: e^a by a polynomial; `bits`: halves widened and narrowed, floats as integers.

`backend` and `tensors` import the kernels when they are first called: Numba need not be there.
"""
