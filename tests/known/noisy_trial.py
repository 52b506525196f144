"""A training whose result is a normal number: the effect of its variant plus noise of its seed."""

import random
import time

from lab.core.trial import Context
from lab.core.trial import Params as Base


class Params(Base):
    effect: float = 0.0
    seconds: float = 0.0


def trial(params: Params, context: Context) -> dict[str, float]:
    time.sleep(params.seconds)
    return {"figure": params.effect + random.Random(f"{context.variant} {context.seed}").gauss(0, 1)}
