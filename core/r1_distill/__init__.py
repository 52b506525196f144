"""Distillation beside reinforcement learning, at equal tokens and at equal operations: `lab run r1-distill`.

In reading order:

* `params`: the parameters of an experiment, and what they make.
* `methods`: what a student learns from, by name, and one step of each.
* `traces`: right answers of a teacher, and those of the generator of demonstrations.
* `account`: tokens and floating-point operations of student and teacher.
* `teacher`: what `grpo` makes of a base model that thinks, its traces, and its price.
* `evaluation`: what is measured of a student.
* `training`: the steps of a method until the student's tokens are used up.
* `pretrained`: whether a student and a teacher of Hugging Face's fit together.
* `trial`: what a run does for each method, student and seed.
"""
