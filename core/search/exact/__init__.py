"""Search where everything is known: `lab run search-exact`.

ideal   the sampler and the rating
params  what an experiment may vary
trial   one strategy at one budget
"""
