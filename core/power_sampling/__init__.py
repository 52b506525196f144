"""Is it learning, or is it sharpening? Samplers from p^α, the power of a base model's own distribution of whole answers.

* `tree`: every likely completion of a prompt, with its probability.
* `power`: the weights of p^α over that tree, with a bound on what it leaves out; over the draws of a model.
* `mcmc`: the sampler of Karan & Du (arXiv:2510.14901), Algorithm 1.
* `samplers`: by name, each answering the same problems.
* `params`, `trial`: what `lab run power-sampling` may vary, and one sampler at one point.
"""
