"""Which encodings of positions survive texts longer than those of training: `lab run position`. In reading order:

params       what an experiment may vary
tasks        what is learnt: texts of any number of items
arms         an arm by name: the encoding that it is trained with, and the one that it is tested with
evaluation   right answers to texts of one length, attention on the right key, a factor on the logits
by_distance  attention by the distance of a key
training     a model trained once for all lengths, with the best checkpoint of each
trial        one arm at one length
"""
