"""Variants whose truth is known: they take 1.00 and 1.10 of a unit by the clock, crash, are wrong, refuse, hang."""

import os
import signal
import time

from lab.core.trial import Case, Context, Refused, Wrong
from lab.core.trial import Params as Base

UNIT = 3e-4  # seconds: too short to be interrupted often, long enough for a tenth of it to be seen


class Params(Base):
    implementation: str = ""
    factor: float = 1.0
    size: int = 1


def case(params: Params, context: Context) -> Case:
    def call() -> None:
        end = time.perf_counter() + UNIT * params.factor
        while time.perf_counter() < end:
            pass

    def check() -> dict[str, float]:
        match params.implementation or context.variant:
            case "crashing":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "wrong":
                raise Wrong("3 rows of 5 ones", error=0.5, allowed=1e-6)
            case "refusing":
                raise Refused("size must be even")
            case "hanging":
                time.sleep(1000)
            case "raising":
                raise ValueError("no idea how to do this")
            case "undefined":
                return {"error": float("nan")}
        return {"error": 0.0, "steps": 7.0 * params.size}

    return Case(call, check, {"bytes": 1e6, "operations": 1e6}, lambda: f"spin {params.size}")
