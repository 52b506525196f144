"""Whether small transformers are computed by compiled kernels, as the environment says."""

from __future__ import annotations

import os

SWITCH = "LAB_LM_KERNELS"


def are_wanted() -> bool:
    """$LAB_LM_KERNELS: 0 turns the kernels off; 1, empty or not set, on. Raises ValueError: it is none of these."""
    chosen = os.environ.get(SWITCH) or "1"
    if chosen not in ("0", "1"):
        raise ValueError(f"{SWITCH}={chosen} should be 0 or 1")
    return chosen == "1"
