"""The bias of a distillation loss where the truth is known: its minimiser's KL from the truth, and its gradient there.

* `params`, `trial`: what `lab run kd-loss-bias` may vary, and one measurement.
* `names`: of the losses.
* `texts`: a language, a text of it, and the true distributions along it.
* `minimisers`: each loss from the library, and the student that minimises it, in closed form.
* `one_vocabulary`: bias and gradient at the truth, and at a student that has token frequencies only.
* `two_vocabularies`: a subword teacher and a perfect student of characters.
"""
