"""Whether an implementation is right: small shapes that catch the usual mistakes, then the point's own input.

The rule of `measure.correctness` judges each, against standard attention in float64. Its standard form is standard
attention in the input's dtype: the worse of scaling the queries and scaling the scores.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...measure.correctness import compare
from ...trial import Refused, Wrong
from ..arguments import Options
from ..band import band_of
from ..standard import standard
from .rounding import of_rounded_scores
from .shapes import SHAPES, Inputs, Shape, inputs
from .usual_mistakes import hint
from .variations import again, double, some_rows, variables, with_gradients

Function = Callable[[Tensor, Tensor, Tensor, Options], Any]
"""(q, k, v, options) to the output, or to the output and the log-sum-exp or None."""

GRADIENT_TIMES = 3
"""Gradients, and scores with a soft cap, may be three times as far off as the standard form's (FlashAttention's tests)."""
POINT_ROWS = 128
"""Of the point's own input so many queries are compared at its beginning, in its middle and at its end."""
POINT_GRADIENTS = 256
"""The gradients of the point are compared on its last so many queries: in float64 more would take seconds."""


@dataclass
class Tally:
    """The worst results over all cases so far; errors as a share of the allowed one."""

    cases: int = 0
    refused: int = 0
    nan_astray: int = 0
    of_allowed: float = 0.0
    grad_of_allowed: float = 0.0
    lse_error: float | None = None


def check(
    function: Function,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    options: Options,
    *,
    gradients: bool,
    shapes: Sequence[Shape] = SHAPES,
    of_options: bool = False,
) -> dict[str, float]:
    """Apply the rule to `function` on the small shapes and then on the point's own q, k and v.

    A small case that `function` refuses is skipped and counted; a refused point raises. A NaN that gets into rows which
    may not attend to it is counted and not wrong: an added mask cannot keep it out. A finite number where NaN
    is right is wrong.

    Args:
        gradients: also those of q, k and v.
        shapes: the small cases; none for the point alone.
        of_options: with `gradients`, also those of the sink and of a mask that is added.
    Returns:
        error, error_allowed and error_ratio on the point, and with `gradients` grad_error_ratio. The worst over all
        cases: error_of_allowed, with `gradients` grad_error_of_allowed, and lse_error where it returns a log-sum-exp.
        cases, refused and nan_astray (cases whose NaN got further): how many there were.
    Raises:
        Wrong: with the first failing case.
        Refused: the point itself is refused.
    """
    tally = Tally()
    for shape in shapes:
        small = inputs(shape, q.dtype, q.device)
        if gradients and of_options:
            small = replace(small, options=with_gradients(small.options))
        # A gradient through a NaN is NaN nearly everywhere, and says nothing.
        wants_gradients = gradients and not shape.nan and shape.queries > 0 and shape.keys > 0
        try:
            _compare(function, f"{shape} {_short(q.dtype)}", small, tally, gradients=wants_gradients)
        except Refused:
            tally.refused += 1
    metrics = _compare_point(function, Inputs(q, k, v, options), tally)
    if gradients:
        last = some_rows(Inputs(q, k, v, options), max(0, q.shape[2] - POINT_GRADIENTS), q.shape[2])
        if options.dropout_p:  # whose choices are those of a query's number
            last = some_rows(Inputs(q, k, v, options), 0, min(POINT_GRADIENTS, q.shape[2]))
        ratio = _compare(function, f"{_words(last)} {_short(q.dtype)}", last, tally, gradients=True)
        metrics |= {"grad_error_ratio": ratio, "grad_error_of_allowed": tally.grad_of_allowed}
    if tally.lse_error is not None:
        metrics["lse_error"] = tally.lse_error
    return metrics | {
        "error_of_allowed": tally.of_allowed,
        "cases": float(tally.cases),
        "refused": float(tally.refused),
        "nan_astray": float(tally.nan_astray),
    }


def _compare(function: Function, case: str, given: Inputs, tally: Tally, *, gradients: bool) -> float:
    """The worst error of a gradient beside the standard form's own; 0 without `gradients`."""
    given = replace(
        given, **{name: getattr(given, name).detach().requires_grad_(gradients) for name in "qkv"}
    )
    before = [x.detach().clone() for x in (given.q, given.k, given.v)]
    output, lse = _run(function, case, given)
    for name, x, was in zip("qkv", (given.q, given.k, given.v), before, strict=True):
        if not torch.equal(x.nan_to_num(), was.nan_to_num()):
            raise Wrong(f"{case}: {name} was overwritten", math.inf, 0.0)
    truth, same, other = double(given), again(given), again(given)
    expected, expected_lse = standard(truth.q, truth.k, truth.v, truth.options)
    usual, usual_lse = standard(same.q, same.k, same.v, same.options)
    scaled_later, _ = standard(other.q, other.k, other.v, other.options, scale_first=False)
    usual, of_usual = _worse(usual, scaled_later, expected), (usual, scaled_later)
    times = GRADIENT_TIMES if given.options.softcap else 2
    if not _all_finite(given):
        output, astray = _without_stray_nan(output, expected)
        if lse is not None and expected_lse is not None:
            lse, also = _without_stray_nan(lse, expected_lse)
            astray = astray or also
        tally.nan_astray += astray
    found = _judge(case, given, output, usual, expected, times)
    tally.cases += 1
    tally.of_allowed = max(tally.of_allowed, _share(found))
    if lse is not None and usual_lse is not None and expected_lse is not None:
        # Scores of size 8 and more are what it comes of, where the logarithm itself is near 0.
        error = compare(f"{case}, log-sum-exp", lse, usual_lse, expected_lse, least_size=8.0, times=times)[
            "error"
        ]
        tally.lse_error = max(tally.lse_error or 0.0, error)
    worst = 0.0
    if gradients:
        if not output.requires_grad:
            raise Refused("gives no gradients")
        weights = torch.randn(
            output.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float32, device="cpu"
        ).to(output)
        dones = [
            torch.autograd.grad((o * weights.to(o)).sum(), list(variables(each).values()))
            for o, each in ((output, given), (of_usual[0], same), (of_usual[1], other), (expected, truth))
        ]
        size = _size_of_terms(truth, weights)
        for name, mine, one, two, true in zip(variables(given), *dones, strict=True):
            theirs = _worse(one, two, true)
            found = compare(
                f"{case}, gradient of {name}",
                mine,
                theirs,
                true,
                least_size=size,
                times=GRADIENT_TIMES,
                is_capped=True,
            )
            tally.grad_of_allowed = max(tally.grad_of_allowed, _share(found))
            worst = max(worst, found["error_ratio"])
    return worst


def _all_finite(given: Inputs) -> bool:
    return all(bool(x.isfinite().all()) for x in (given.q, given.k, given.v))


def _without_stray_nan(result: Tensor, expected: Tensor) -> tuple[Tensor, bool]:
    """`result` with the true number where it is NaN and should not be, and whether there was any."""
    if result.shape != expected.shape:
        return result, False
    astray = result.isnan() & ~expected.isnan()
    return torch.where(astray, expected.detach().to(result), result), bool(astray.any())


def _worse(a: Tensor, b: Tensor, truth: Tensor) -> Tensor:
    """Of two standard forms the one that is further from the truth, number by number.

    Textbooks scale the queries or the scores. Neither is more standard, and by luck either can be twice as exact.
    """
    a_off, b_off = ((x.detach().double() - truth.detach()).abs() for x in (a, b))
    return torch.where(a_off >= b_off, a.detach(), b.detach())


def _share(found: dict[str, float]) -> float:
    """The error as a share of what is allowed; over nothing, 0."""
    return found["error"] / found["error_allowed"] if found["error"] else 0.0


def _size_of_terms(truth: Inputs, dO: Tensor) -> float:
    """The size of the numbers whose difference is a gradient: over one key they cancel to a gradient of 0."""
    groups = truth.q.shape[1] // truth.k.shape[1]
    dP = dO.double() @ truth.v.detach().repeat_interleave(groups, 1).mT
    largest = max(float(truth.q.detach().abs().max()), float(truth.k.detach().abs().max()))
    return float(dP.abs().max()) * truth.options.scale * largest


def _compare_point(function: Function, given: Inputs, tally: Tally) -> dict[str, float]:
    """The point's own input, on some of its rows: the rows of a causal matrix need only the keys they see."""
    case = f"{_words(given)} {_short(given.q.dtype)}"
    q, k, v, options = given.q, given.k, given.v, given.options
    with torch.no_grad():
        output, _ = _run(function, case, given)
        if not isinstance(output, Tensor) or output.shape != (*q.shape[:3], v.shape[3]):
            raise Wrong(f"{case}: shape {tuple(getattr(output, 'shape', ()))}", math.inf, 0.0)
        queries, band = q.shape[2], band_of(q.shape[2], k.shape[2], options)
        starts = sorted({max(0, min(at, queries - POINT_ROWS)) for at in (0, queries // 2, queries)})
        parts: list[tuple[Tensor, Tensor, Tensor]] = []
        for start in starts if not options.dropout_p else starts[:1]:
            stop = min(start + POINT_ROWS, queries)
            end = max(0, band.keys(start, stop, k.shape[2]).stop)
            part = some_rows(given, start, stop, end)
            truth = double(part)
            one, _ = standard(part.q, part.k, part.v, part.options)
            two, _ = standard(part.q, part.k, part.v, part.options, scale_first=False)
            expected, _ = standard(truth.q, truth.k, truth.v, truth.options)
            parts.append((output[:1, :, start:stop], _worse(one, two, expected), expected))
    mine, usual, expected = (torch.cat(each, 2) for each in zip(*parts, strict=True))
    times = GRADIENT_TIMES if options.softcap else 2
    found = compare(case, mine, usual, expected, times=times, is_capped=True)
    tally.cases += 1
    tally.of_allowed = max(tally.of_allowed, _share(found))
    return found


def _run(function: Function, case: str, given: Inputs) -> tuple[Tensor, Tensor | None]:
    result = function(given.q, given.k, given.v, given.options)
    output, lse = result if isinstance(result, tuple) else (result, None)
    if not isinstance(output, Tensor):
        raise Wrong(f"{case}: {type(output).__name__} instead of a tensor", math.inf, 0.0)
    return output, lse


def _judge(
    case: str, given: Inputs, output: Tensor, usual: Tensor, expected: Tensor, times: float
) -> dict[str, float]:
    judge = partial(compare, case, output, usual, expected, times=times, is_capped=True)
    try:
        return judge()
    except Wrong as wrong:
        allowed = wrong.allowed
        if math.isfinite(wrong.error) and output.dtype in (torch.float32, torch.float64):
            # Only now, because it costs another walk over all scores.
            allowed = max(allowed, times * of_rounded_scores(double(given), output.dtype))
            try:
                return judge(least_allowed=allowed)
            except Wrong as still:
                allowed = still.allowed  # the absolute cap holds all the same
        guess = hint(given, output, expected, allowed)
        raise Wrong(f"{wrong.case}{guess}", wrong.error, allowed) from None


def _words(given: Inputs) -> str:
    q, k = given.q, given.k
    shape = Shape(q.shape[2], k.shape[2], given.options.causal, q.shape[3], q.shape[1], k.shape[1])
    return str(shape)


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
