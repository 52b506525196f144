"""Skills of different frequency: `lab run incentivize-skills`. In reading order:

params    what an experiment may vary
parity    skills, their frequencies, samples and their labels
curve     Nam's curve of a skill, fitted to one and drawn for others
networks  several two-layer networks trained side by side, and how good each is at each skill
training  which networks a trial trains, on what, and what comes of it
trial     one skill in one of them
"""
