"""Task diversity: `lab run incentivize`. In reading order:

permutations  which are trained on and which are held out, sequences of them, and what Bayes would guess
params        what an experiment may vary
training      a small transformer, and what it makes of known and new permutations
trial         one number of training permutations
"""
