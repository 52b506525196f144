"""The values that a claim's measure can take, as far as the file says."""

from __future__ import annotations

import math

from .schema import Claim, Experiment, Metric

Region = tuple[float, float]

TIMES = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
SIZES = {"B": 1.0, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
COUNTS = {"FLOP": 1.0, "KFLOP": 1e3, "MFLOP": 1e6, "GFLOP": 1e9, "TFLOP": 1e12}
RATES = {f"{unit}/s": size for unit, size in (SIZES | COUNTS).items()}
FAMILIES = (TIMES, SIZES, COUNTS, RATES)

ANYTHING: Region = (-math.inf, math.inf)


def of_metric(metric: Metric) -> Region:
    """The least and the greatest value of a metric: as declared, else as its kind and its unit say."""
    if metric.range is not None:
        return metric.range
    if metric.gap is not None:
        return ANYTHING
    if metric.out_of is not None:
        return 0.0, 1.0
    is_amount = metric.kind == "timed" or any(metric.unit in family for family in FAMILIES)
    return (0.0, math.inf) if is_amount else ANYTHING


def of_claim(claim: Claim, experiment: Experiment) -> Region:
    """The least and the greatest value of what a claim measures; a ratio is never 0 itself, zeros are refused."""
    measure = claim.measure
    low, high = of_metric(experiment.metrics[measure.metric])
    if measure.kind == "trend":
        return -1.0, 1.0
    if measure.kind == "value":
        return low, high
    if measure.kind == "ratio":
        return (1.0, 1.0) if measure.of == [measure.over] else (0.0, math.inf)
    if measure.kind == "difference":
        return (0.0, 0.0) if measure.of == [measure.over] else (low - high, high - low)
    return ANYTHING
