"""The words of a report: the meaning of each verdict and term, and how figures are quoted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..experiment.schema import Claim, Experiment

if TYPE_CHECKING:
    from ..analysis.verdicts import Verdict

OTHER_DEVICE = "other device"
NOT_TESTED = "not tested"


@dataclass(frozen=True)
class Mark:
    """How a verdict looks: a sign, so that it can be told without colour, a style class, and its meaning."""

    sign: str
    style: str
    means: str


MARKS = {
    "holds": Mark("✓", "holds", "the interval lies wholly inside what the claim expects"),
    "fails here": Mark("✗", "fails", "the interval lies wholly outside what the claim expects"),
    "unclear": Mark("?", "unclear", "the interval reaches over the edge of what the claim expects; more replicates may settle it"),
    "preview": Mark("…", "preview", "too few replicates for a verdict, or a clock that cannot be trusted: the reason stands beside it"),
    "not trained enough": Mark("○", "untrained", "a variant has not reached what the claim needs, so it says nothing here; longer training may change that"),
    OTHER_DEVICE: Mark("*", "elsewhere", "claimed for another kind of device: seen here, counted neither way"),
    NOT_TESTED: Mark("–", "untested", "this run has no figure for it"),
}  # fmt: skip

TERMS = {
    "interval": "95% interval: made this way, 95 of 100 such intervals contain the true value. "
    "Student's t over processes or seeds. A claim's own is wider, by how often it may be looked at",
    "tier": "ratios are taken inside a tier only; 'reference' is code to read and is never ranked by time",
    "counted": "counted: no clock and no noise, so it has no interval; accesses are the same on every machine, errors "
    "may differ in their last digits",
    "timed": "timed: by a clock on this machine, over several processes",
    "trained": "trained: varies with the seed",
    "~": "no difference seen: the interval of the difference to the baseline contains none",
    "ratio": "this variant's figure divided by that of its tier's baseline",
    "speed": "so many times as fast as the first of its tier: that one's time divided by this one's",
    "best": "leads its tier at this point, and is seen to be better than every other variant there",
    "verdict's interval": "the interval by which a claim is judged: at 96.9% where the run has as many replicates as were "
    "planned, and higher at each later look, so that going on with a run cannot make more than 5 of 100 verdicts false",
    "threshold": "who set the bounds that decide the verdict: the paper, we, or arithmetic",
}
HOW_TO_READ = (
    "Replicates cover what varies between them. The processes of one run were timed in one sitting on one machine: "
    "they say nothing of other days and other machines. Seeds vary what the seed draws and nothing else. "
    "Each sampled claim may be judged falsely in 5 of 100 runs."
)
LETTERS = {"C": "counted", "T": "timed", "R": "trained"}


def family(word: str) -> str:
    """The key of MARKS: all words with a star are "other device"."""
    return OTHER_DEVICE if word.endswith("*") else word


def tally(words: Iterable[str]) -> dict[str, int]:
    """How many of each family, in the order of MARKS; none are left out."""
    families = [family(word) for word in words]
    return {name: families.count(name) for name in MARKS if name in families}


def counted_words(tally: dict[str, int]) -> str:
    """`8 hold, 1 fails here, 1 other device`."""
    plural = {"holds": "hold", "fails here": "fail here"}
    said = (f"{n} {name if n == 1 else plural.get(name, name)}" for name, n in tally.items())
    return ", ".join(said) or "no claims"


def section(source: str) -> str:
    """`§5, V100` of `milakov2018, §5, V100`: where in the source."""
    return source.partition(",")[2].strip()


def title_of(source: str, experiment: Experiment) -> str:
    """The title of a claim's source; the key itself where nothing is declared."""
    key = source.partition(",")[0].strip()
    return experiment.sources[key].title if key in experiment.sources else key


def quoted(paper: float | str | None, measure: str, unit: str = "") -> str:
    """The figure a source gives: `1.33x`, `1.2 ms`, or its own words."""
    if paper is None or isinstance(paper, str):
        return paper or ""
    # As the source writes it: our own rules about digits are for our own figures.
    return f"{paper:g}x" if measure == "ratio" else f"{paper:g} {unit}".strip()


def claimed(claim: Claim, unit: str) -> str:
    """`1.33x, §3`."""
    said = quoted(claim.paper, claim.measure.kind, "" if claim.measure.axis else unit)
    where = section(claim.source)
    return f"{said}, {where}" if where else said


def measured_as(verdict: Verdict) -> str:
    """What was compared, in a line: `time: safe / online at columns = 256,000`."""
    variants = verdict.variants
    match verdict.measure:
        case "ratio":
            said = " / ".join(variants)
        case "difference":
            said = " − ".join(variants)
        case "deviation":
            said = f"{variants[0]} − predicted"
        case "exponent":
            said = f"slope of {variants[0]}"
        case "trend":
            said = f"trend of {variants[0]}"
        case "order":
            said = ", ".join(variants)
        case _:
            said = variants[0]
    return f"{human(verdict.metric)}: {said}{at(dict(verdict.point))}"


def at(point: dict[str, object]) -> str:
    """` at columns = 1,000, dtype = float32`; empty for no point."""
    said = ", ".join(f"{human(key)} = {value_words(value)}" for key, value in point.items())
    return f" at {said}" if said else ""


def named(variant: str, kernels: Iterable[object]) -> str:
    """`sdpa (flash)`: a variant with what somebody else's code chose to run for it; "" and NaN are no choice."""
    chosen = dict.fromkeys(kernel for kernel in kernels if isinstance(kernel, str) and kernel)
    return f"{variant} ({', '.join(chosen)})" if chosen else variant


def value_words(value: object) -> str:
    """A value of an axis as people write it."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: ""}[value]
    if isinstance(value, int | float):
        return f"{value:,}" if value == int(value) and abs(value) >= 10_000 else f"{value:,.6g}"
    return str(value)


def human(name: str) -> str:
    """`accesses_per_element` → `accesses per element`."""
    return name.replace("_", " ")
