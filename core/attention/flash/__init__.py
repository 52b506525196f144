"""Flash attention in PyTorch operations: `backend` is what the registry calls.

* `tiles`: which tiles of the scores are computed, and how large they are.
* `slabs`: the heads that are worked on together, and rows of them.
* `scores`: the scores of one tile: scale, soft cap, ALiBi, masks, dropout.
* `backend`: Algorithms 1 and 2 of FlashAttention-2, tile by tile, as a PyTorch function with gradients.
* `second_derivative`: the gradient of these gradients.
"""
