"""What a student of other tokens may be taught by, by name; joined by + with weights, `data+0.5*uld`.

    | name           | what of the teacher                                  | loss                     | needs data |
    |----------------|------------------------------------------------------|--------------------------|------------|
    | data           | nothing: the tokens that stand there                 | cross-entropy            |            |
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

Those that need the data say nothing at some characters, or do not say which token it is that has a probability.

Importing this costs no torch: the command line reads it with `Params`.
"""

from __future__ import annotations

from ..signals import weighted

WHOLE = "data", "teacher-text", "marginal", "exact-marginal"
"""These tell a next token at every place."""
PARTS = (
    "hidden-states", "exact-string", "min-ed", "uld", "gold-observed", "gold-bayesian", "alm-tokens", "alm-words",
    "dskd-cma",
)  # fmt: skip
NAMES = *WHOLE, *PARTS
OF_STATES = "hidden-states", "dskd-cma"


def weights_of(text: str) -> dict[str, float]:
    """The signals with their weights.

    Raises:
        ValueError: as `weighted`, text of the teacher's beside another signal, or nothing that tells tokens everywhere.
    """
    found = weighted(text, NAMES)
    if "teacher-text" in found and len(found) > 1:
        raise ValueError("teacher-text takes the place of the text; it stands alone")
    if not found.keys() & set(WHOLE):
        raise ValueError(f"{text} tells nothing at some characters; write data+{text}")
    return found
