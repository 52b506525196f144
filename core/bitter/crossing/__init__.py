"""A crossing with a dial: `lab run bitter`. In reading order:

params    what an experiment may vary
teacher   the target: a part that a convolution can learn, and a part that it cannot
models    the convolution, the dense network, and a convolution whose ties are cut
training  one training, and its error on new inputs
meeting   where one curve of errors falls below another
trial     one model at one share and one number of samples; or where two of them meet
"""
