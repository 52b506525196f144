"""One model at one share and one number of samples, or where two of them meet: `lab run bitter`.

Importing this costs no torch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from ...source_digest import source_digest
from ...trial import Context, Refused, seeded
from .meeting import meeting, sizes_up_to
from .params import Params

__all__ = ["Params", "trial"]


def trial(params: Params, context: Context) -> Mapping[str, float]:
    """Train a model on a teacher of its own for each seed; all models of a seed learn from the same samples.

    Returns: `nmse`, the mean squared error on new inputs over the target's variance. Of `crossing`, see `_crossing`.

    Raises Refused: fewer than two sizes to look for a crossing between. ModelError: a model of the user's is none.
    """
    context = seeded(context, params.first_seed)
    if params.is_own:
        from .training import error, trained

        model = trained(params, context.seed, context.device, context.load(params.implementation))
        return {"nmse": error(model, params, context.seed, context.device)}
    if params.model == "crossing":
        return _crossing(params, context)
    return {"nmse": _nmse(params, context)}


def _crossing(params: Params, context: Context) -> dict[str, float]:
    """Where the mlp passes the convolution.

    Returns: `lead`, the least log2 of the mlp's error over the convolution's, at any size: above 0 it is behind at all of
    them. With a share above 0: `crossing`, in samples, and `log2_crossing`; `own`, where the mlp's curve of share 0 meets
    λ + (1−λ) times the convolution's error of share 0, of the same teacher; `off`, log2 of crossing over own; one beyond the
    sizes counts as a factor of 4 beyond them. `inside`, whether the crossing is between the sizes.
    """
    sizes = sizes_up_to(params.samples, params.smallest)
    if len(sizes) < 2:
        raise Refused(
            f"a crossing needs two sizes: {params.samples} samples, and smallest is {params.smallest}"
        )
    count = 0

    def curve(model: str, share: float) -> list[float]:
        nonlocal count
        found = []
        for size in sizes:
            changed = {"model": model, "nonlocal_share": share, "samples": size}
            found.append(_nmse(params.model_copy(update=changed), context))
            context.progress(count := count + 1, 4 * len(sizes))
        return found

    share = params.nonlocal_share
    convolution, mlp = curve("convolution", share), curve("mlp", share)
    seen = meeting(sizes, mlp, convolution)
    lead = min(math.log2(a / b) for a, b in zip(mlp, convolution, strict=True))
    if share == 0:
        return {"lead": lead}
    floor = [share + (1 - share) * error for error in curve("convolution", 0.0)]
    own = meeting(sizes, curve("mlp", 0.0), floor)
    logs = {"log2_crossing": math.log2(seen.samples), "off": math.log2(seen.samples / own.samples)}
    where = {"crossing": seen.samples, "own": own.samples, "inside": float(seen.inside)}
    return {"lead": lead} | logs | where


def _nmse(params: Params, context: Context) -> float:
    """Of a model of ours. The same training gives the same figure, so that it is done once on a machine: the trials of
    crossing need those of the others."""
    import torch

    keys = (
        *("model", "nonlocal_share", "samples", "filters", "window", "width"),
        *("steps", "batch", "learning_rate", "relax_at", "test_samples"),
    )
    what = [getattr(params, key) for key in keys]
    where = [context.seed, context.device, context.threads, torch.__version__, source_digest(__name__)]

    def make(folder: Path) -> None:
        from .training import error, trained

        found = error(trained(params, context.seed, context.device), params, context.seed, context.device)
        (folder / "nmse.json").write_text(json.dumps(found))

    folder = context.cached(json.dumps(["bitter crossing", what, where]), make)
    return float(json.loads((folder / "nmse.json").read_text()))
