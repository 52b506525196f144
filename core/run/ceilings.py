"""What shares of a peak stand for in a run: the name of its ceiling, and the shares that show that it is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..experiment.schema import AGAIN, Experiment
from ..measure.ceiling import ABOVE_ANY_CEILING, FMA, PRODUCT, TORCH, WRONG, ceiling_of

if TYPE_CHECKING:
    import pandas as pd

SHARE = "of_peak"
FIGURES = (
    "estimate", "low", "high", "spread", "ratio", "ratio_low", "ratio_high", "change", "change_low", "change_high",
)  # fmt: skip


def named(experiment: Experiment, environment: Mapping[str, Any]) -> Experiment:
    """The experiment with the ceiling of a run in its texts: files say "FMA peak", of which there may be none."""
    ceiling = ceiling_of(environment.get("peaks") or {})
    if ceiling is None or ceiling.name != PRODUCT:
        return experiment

    def said(text: str) -> str:
        return text.replace(FMA, ceiling.name)

    metrics = {
        name: metric.model_copy(update={"label": said(metric.label), "says": said(metric.says)})
        for name, metric in experiment.metrics.items()
    }
    plots = [plot.model_copy(update={"title": said(plot.title)}) for plot in experiment.plots]
    claims = [
        claim.model_copy(update={"says": said(claim.says), "note": said(claim.note)})
        for claim in experiment.claims
    ]
    return experiment.model_copy(update={"metrics": metrics, "plots": plots, "claims": claims})


def above_ceilings(values: pd.DataFrame, keys: Sequence[str]) -> pd.Series[bool]:
    """Which rows are shares of a peak above 103%: what was measured as the peak is none."""
    by_point = values.groupby(["variant", *keys, "metric"], sort=False, dropna=False)["value"]
    return (values["metric"] == SHARE) & (by_point.transform("median") > ABOVE_ANY_CEILING)


def marked(comparison: pd.DataFrame, above: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """The comparison with the status "wrong ceiling", and no figures, at each share that is `above` its ceiling."""
    if above.empty or comparison.empty:
        return comparison
    columns = ["variant", *keys, "metric"]
    places = set(above[columns].itertuples(index=False, name=None))
    here = comparison[columns].apply(tuple, axis=1)
    wrong = here.map(places.__contains__)
    figures = {name: comparison[name].mask(wrong) for name in FIGURES}
    words = {"status": WRONG, "reason": "faster than what was measured as its ceiling", "difference": ""}
    said = {name: comparison[name].mask(wrong, word) for name, word in words.items()}
    return comparison.assign(**figures, **said, best=comparison["best"] & ~wrong)


def ceiling_notes(
    environment: Mapping[str, Any], trials: Sequence[Mapping[str, Any]], above: pd.DataFrame
) -> Iterator[str]:
    """What a reader should know of the shares: that the ceiling is not the FMA peak, or that it is wrong."""
    ceiling = ceiling_of(environment.get("peaks") or {})
    works = [work for trial in trials if trial["kind"] == "time" for work in trial.get("work", {}).values()]
    what = "a copy"
    if ceiling is not None and any("operations" in work for work in works):
        what = f"{ceiling.name}, {ceiling.gflops:.3g} GFLOP/s"
        if ceiling.why:
            no_bound = ", no upper bound" if ceiling.name == TORCH else ""
            yield f"ceiling: {what}{no_bound}: {ceiling.why}"
    if not above.empty:
        who = ", ".join(dict.fromkeys(name.removesuffix(AGAIN) for name in above["variant"]))
        yield (
            f"{WRONG} ({what}): {who} does more, so shares of it mean nothing there, and no claim is judged by them"
        )
