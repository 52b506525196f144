"""What a student may be taught by, by name: `soft`, or joined by + with weights, `data+0.5*feature`.

    | name       | family   | what of the teacher                            | loss                                     |
    |------------|----------|------------------------------------------------|------------------------------------------|
    | data       |          | nothing: the tokens that stand there           | `hard_data`                              |
    | hard       | response | its likeliest token                            | `top_k` of 1, which is `hard_argmax`     |
    | draw       | response | one token drawn from it                        | `random_sampling` of 1, or `hard_draw`   |
    | soft       | response | its whole distribution                         | `forward_kl`                             |
    | top-k      | response | its k likeliest tokens                         | `top_k`                                  |
    | sampled    | response | n tokens drawn from it                         | `random_sampling`                        |
    | feature    | feature  | its last states                                | `feature`, through a linear projector    |
    | similarity | relation | how alike its last states are at 256 positions | `similarity`                             |
    | rkd        | relation | distances and angles between them              | 25 `rkd_distance` + 50 `rkd_angle`       |

States say nothing of tokens: a student that learns from them needs the data, or the response, beside them.

Importing this costs no torch: the command line reads it with `Params`.
"""

from __future__ import annotations

from difflib import get_close_matches
from math import isfinite

from ..own_files import terms

RESPONSE = "hard", "draw", "soft", "top-k", "sampled"
STATES = "feature", "similarity", "rkd"
SIGNALS = "data", *RESPONSE, *STATES


def signal_terms(text: str) -> dict[str, float]:
    """The signals of a student with their weights.

    Raises:
        ValueError: a signal that is none or stands there twice, a weight that is not above 0 and finite, or nothing
            that tells tokens.
    """
    found: dict[str, float] = {}
    for term in terms(text):
        name = term.name
        if name not in SIGNALS:
            near = get_close_matches(name, SIGNALS, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise ValueError(f"no signal {name!r}.{hint} There are: {', '.join(SIGNALS)}")
        if name in found:
            raise ValueError(f"the signal {name} stands there twice")
        found[name] = weight_of(name, term.weight)
    if not found.keys() - set(STATES):
        raise ValueError(f"{text} tells nothing of tokens; write data+{text}")
    return found


def weight_of(name: str, given: str) -> float:
    """A weight as it is written, 1 where none is.

    Raises:
        ValueError: no number, or not above 0 and finite.
    """
    try:
        weight = float(given or 1)
    except ValueError:
        raise ValueError(f"the weight of {name} is {given!r}, which is no number") from None
    if not (isfinite(weight) and weight > 0):
        raise ValueError(f"the weight of {name} is {given}; it must be above 0 and finite")
    return weight
