"""R1's pipeline, stage by stage, with yardsticks that are exact: `lab run r1-stages`.

In reading order:

* `params`: the parameters of an experiment, a stage's description among them, and the stages that lead to one.
* `taste`: open prompts, and a rule of taste that scores every answer exactly.
* `preference`: the model that learns this rule from pairs of answers, some of which are labelled by something else.
* `prompts`: prompts of both kinds in one training, each with rewards of its own.
* `samples`: what a stage of fine-tuning is shown, and which answers it takes.
* `evaluation`: the yardsticks.
* `stages`: each stage made once, from the weights that it begins with.
* `trial`: what a run does for each variant, stage and seed.
"""
