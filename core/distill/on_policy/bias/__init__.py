"""The gradients of on-policy distillation beside that of the whole sequence's KL, exactly, where all sequences can be listed.

* `params`, `trial`: what `lab run on-policy-bias` may vary, and one comparison.
* `enumeration`: all sequences of a tiny language, and the mean and the variance of a gradient over them.
"""
