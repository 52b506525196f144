"""The signals that a student of other tokens may learn from, by name; joined by + with weights, `data+0.5*uld`.

    | name           | what it reads of the teacher                         | loss                     | needs data |
    |----------------|------------------------------------------------------|--------------------------|------------|
    | data           | nothing: the tokens of the text                      | cross-entropy            |            |
    | teacher-text   | text that it wrote, as many characters, for the data | cross-entropy            | no         |
    | hidden-states  | its last states where both have read the same bytes  | `hidden_states`          | yes        |
    | exact-string   | the tokens that both have                            | `mapped_kl`              | yes        |
    | min-ed         | each token as the student's nearest                  | `mapped_kl`              | yes        |
    | uld            | its sorted probabilities                             | `uld`                    | yes        |
    | gold-observed  | spans, merged by what stands there                   | `gold`                   | yes        |
    | gold-bayesian  | spans, merged by the chain rule                      | `gold`                   | yes        |
    | alm-tokens     | how likely the shortest spans are                    | `alm`                    | yes        |
    | alm-words      | how likely words are                                 | `alm`                    | yes        |
    | dskd-cma       | its states, gathered by attention                    | `dskd_cma`               | yes        |
    | marginal       | the next character, by the text's own tokens         | `soft_targets`           | no         |
    | exact-marginal | the next character, by every token that may cover it | `soft_targets`           | no         |

Those that need the data have no target at some characters, or do not say which token has which probability.

Importing this costs no torch: the command line reads it with `Params`.
"""

from __future__ import annotations

from ..signals import weighted

COMPLETE = "data", "teacher-text", "marginal", "exact-marginal"
"""Signals with a target for the next token at every position."""
PARTIAL = (
    "hidden-states", "exact-string", "min-ed", "uld", "gold-observed", "gold-bayesian", "alm-tokens", "alm-words",
    "dskd-cma",
)  # fmt: skip
SIGNALS = *COMPLETE, *PARTIAL
STATES = "hidden-states", "dskd-cma"


def signal_terms(text: str) -> dict[str, float]:
    """The signals with their weights.

    Raises ValueError: as `weighted`, `teacher-text` beside another signal, or no signal that is complete.
    """
    found = weighted(text, SIGNALS)
    if "teacher-text" in found and len(found) > 1:
        raise ValueError("teacher-text takes the place of the text; it stands alone")
    if not found.keys() & set(COMPLETE):
        raise ValueError(f"{text} tells nothing at some characters; write data+{text}")
    return found
