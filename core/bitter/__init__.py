"""The Bitter Lesson (Sutton, 2019), measured: what is built in against what is computed, each where it can cross.

* `crossing`: a target with a dial, about which a convolution is wrong; `connect_four`: search and learning in a game that is solved;
  `text`: counts against a transformer.
"""
