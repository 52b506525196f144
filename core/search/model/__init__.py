"""Search by a trained model and a trained rating: `lab run search`. In reading order:

params    what an experiment may vary
texts     partial answers in tokens, and how a language model continues them by a step
steps     where a trace goes wrong first
answers   answers by their steps
labels    what heads learn from: prefixes with rollouts
head      a reward model on the model's own trunk
scorers   what rates a prefix, by name
sampler   what answers: the base model of `grpo` that has learnt to slip
searched  what a strategy answers, and how good that is
drawn     the tree of one search, for the report
rl        GRPO with a rating as the reward
trial     one strategy at one budget, or one such training
"""
