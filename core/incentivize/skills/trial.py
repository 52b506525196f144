"""One skill in one network, or bank of networks: `lab run incentivize-skills`.

Importing this costs no torch: the command line reads `Params` before anything heavy is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...trial import Context, Refused, seeded
from .params import Params

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Params", "trial"]


def trial(params: Params, context: Context) -> Mapping[str, float]:
    """Train, or take what another trial of this seed has trained, and look at one skill.

    Returns: `arrival`, the steps, samples or units after which its strength is `arrives`, at most what was spent, and `arrived`,
    whether it is; of a network over steps also `strength`, `right` and `bits` at the end, and `early/right` and `early/bits`
    before; `predicted`, when Nam's curve, fitted to a network of its own that is given the first skill alone, has it arrive, and
    `ahead`, that over the arrival (SGD only).

    Raises Refused: of the curve, a first skill that does not grow.
    """
    import numpy as np

    from .curve import fitted
    from .parity import frequencies
    from .training import evaluated_at, history

    context = seeded(context, params.first_seed)
    k = params.skill - 1
    frequency = float(frequencies(params.skills, params.alpha)[k])
    if params.learner == "curve":
        alone = history(params.model_copy(update={"sees": "it alone", "steps": params.fit_steps}), context)
        try:
            curve = fitted(alone.steps, alone.strength[:, 0, 0])
        except ValueError as error:
            raise Refused(f"the first skill alone: {error} in {params.fit_steps} steps") from error
        steps = evaluated_at(params.steps, params.evaluations)
        strength = curve.strength(steps, frequency)
        for step, value in zip(steps, strength.tolist(), strict=True):
            context.record(step, strength=value)
        arrival = curve.arrival(frequency, params.arrives)
        return {
            "arrival": arrival,
            "arrived": float(arrival <= params.steps),
            "strength": float(strength[-1]),
            "rate": curve.rate,
            "start": curve.start,
        }
    made = history(params, context)
    if params.over != "steps":
        at, strength = np.array(params.sizes), made.strength[-1, :, k]
        arrival, arrived = arrives(at, strength, params.arrives)
        return {"arrival": arrival, "arrived": arrived}
    network = 0 if params.sees == "all" else k
    figures = {name: getattr(made, name)[:, network, k] for name in ("strength", "right", "bits")}
    for i, step in enumerate(made.steps.tolist()):
        context.record(step, **{name: float(values[i]) for name, values in figures.items()})
    arrival, arrived = arrives(made.steps, figures["strength"], params.arrives)
    early = int(np.searchsorted(made.steps, params.early * params.steps, side="right")) - 1
    found = {name: float(values[-1]) for name, values in figures.items()}
    found |= {f"early/{name}": float(figures[name][early]) for name in ("right", "bits")}
    return found | {"arrival": arrival, "arrived": arrived, "frequency": frequency}


def arrives(at: np.ndarray, strength: np.ndarray, threshold: float) -> tuple[float, float]:
    """Where it first is so strong, on straight lines over log `at` between the places that were measured, and 1; the last
    place and 0, where it nowhere is."""
    import numpy as np

    reached = np.flatnonzero(strength >= threshold)
    if not len(reached):
        return float(at[-1]), 0.0
    i = int(reached[0])
    if i == 0 or at[i - 1] == 0:
        return float(at[i]), 1.0
    part = (threshold - strength[i - 1]) / (strength[i] - strength[i - 1])
    return float(at[i - 1] * (at[i] / at[i - 1]) ** part), 1.0
