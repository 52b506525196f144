"""What can be counted of an encoding without training: `lab run position-algebra`.

scores    of a random text: when all of it moves, in bfloat16, of two equal tokens
geometry  how far apart positions are, how little pairs turn, how scores fall with distance, diagonals of a grid
params    what an experiment may vary
trial     one encoding
"""
