"""The signals that a student may learn from, by name: `soft`, or joined by + with weights, `data+0.5*feature`.

    | name       | family   | what it reads of the teacher                   | loss                                     |
    |------------|----------|------------------------------------------------|------------------------------------------|
    | data       |          | nothing: the tokens of the text                | `hard_data`                              |
    | hard       | response | its likeliest token                            | `top_k` of 1, which is `hard_argmax`     |
    | draw       | response | one token drawn from it                        | `random_sampling` of 1, or `hard_draw`   |
    | soft       | response | its whole distribution                         | `forward_kl`                             |
    | top-k      | response | its k likeliest tokens                         | `top_k`                                  |
    | sampled    | response | n tokens drawn from it                         | `random_sampling`                        |
    | feature    | feature  | its last states                                | `feature`, through a linear projector    |
    | crd        | feature  | its last states, against those of others       | `crd`, through two linear projectors     |
    | similarity | relation | how alike its last states are at 256 positions | `similarity`                             |
    | rkd        | relation | distances and angles between them              | 25 `rkd_distance` + 50 `rkd_angle`       |
    | attention  | feature  | the maps of its last attention, head by head   | `attention_transfer`, Kullback–Leibler   |
    | minilm     | relation | relations of its last queries, keys and values | `minilm_relations`, causal               |

The last six define no distribution over tokens: a student that learns from them needs the data, or a response, beside
them.

Importing this costs no torch: the command line reads it with `Params`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from ..own_files import terms
from ..suggest import did_you_mean

RESPONSE: Mapping[str, Literal["full", "top-k", "sampled"]] = {
    "hard": "top-k",
    "draw": "sampled",
    "soft": "full",
    "top-k": "top-k",
    "sampled": "sampled",
}
"""What is kept of the teacher's distribution for each: all of it, its likeliest tokens, or tokens drawn from it."""
STATES = "feature", "crd", "similarity", "rkd"
HEADS = "attention", "minilm"
INTERNALS = *STATES, *HEADS
SIGNALS = "data", *RESPONSE, *INTERNALS


def signal_terms(text: str) -> dict[str, float]:
    """A student's signals and their weights.

    Raises ValueError: as `weighted`, or no signal that defines a distribution over tokens.
    """
    found = weighted(text, SIGNALS)
    if not found.keys() - set(INTERNALS):
        raise ValueError(f"{text} tells nothing of tokens; write data+{text}")
    return found


def weighted(text: str, known: Sequence[str]) -> dict[str, float]:
    """Names joined by +, with their weights.

    Raises ValueError: an unknown or repeated name, or a weight that is not above 0 and finite.
    """
    found: dict[str, float] = {}
    for term in terms(text):
        name = term.name
        if name not in known:
            raise ValueError(f"no signal {name!r}.{did_you_mean(name, known)} There are: {', '.join(known)}")
        if name in found:
            raise ValueError(f"the signal {name} stands there twice")
        found[name] = term.factor(positive=True)
    return found
