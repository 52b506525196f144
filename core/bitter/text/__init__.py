"""Left of a crossing: `lab run bitter-text`. In reading order:

params    what an experiment may vary
sources   the standard library's own files, as numbers of an alphabet
ngram     what the next character is by counts of what followed the last five: Witten-Bell
learnt    a transformer on the same characters
trial     one of them, on so many characters
"""
