"""What the server of trial processes imports before it forks: torch, with one thread and no CUDA."""

import gc

import torch

from ..measure import correctness, memory, peaks, timer, traffic  # noqa: F401  # each trial would import them anew
from . import process  # noqa: F401

torch.set_num_threads(1)
# What is loaded stays loaded. Frozen, it is not walked through whenever a trial collects its garbage (0.1 s), and the
# pages shared with the server stay shared.
gc.collect()
gc.freeze()
