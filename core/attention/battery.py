"""Whether an implementation is right: shapes that catch the usual mistakes, then the point's own input.

Everything is held to the rule of `measure.correctness`, against standard attention in float64, with standard attention
in the same dtype as the standard form: the worse of scaling the queries and scaling the scores.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..measure.correctness import compare
from ..trial import Refused, Wrong
from .arguments import Options
from .shapes import SHAPES, Inputs, Shape, inputs
from .standard import standard

Function = Callable[[Tensor, Tensor, Tensor, Options], Any]
"""(q, k, v, options) to the output, or to the output and the log-sum-exp or None."""

POINT_ROWS = 128
"""Of the point's own input so many queries are compared at its beginning, in its middle and at its end."""
POINT_GRADIENTS = 256
"""The gradients of the point are compared on its last so many queries: in float64 more would take seconds."""


@dataclass
class Tally:
    """The worst that was seen so far, over all cases; errors as a share of what is allowed."""

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
    shapes: bool = True,
) -> dict[str, float]:
    """Hold `function` to the rule on the small shapes and then on the point's own q, k and v.

    Small cases that it refuses are skipped and counted; the point is not. A NaN that does not stay where it is counts
    and is not wrong: a mask that is added to the scores, as many do it, cannot hold back a NaN behind it.

    Args:
        gradients: also those of q, k and v.
        shapes: false for the point alone.

    Returns:
        error, error_allowed and error_ratio on the point, and with `gradients` grad_error_ratio. The worst over all
        cases: error_of_allowed, with `gradients` grad_error_of_allowed, and lse_error where it returns a log-sum-exp.
        cases, refused and nan_astray: how many there were.

    Raises:
        Wrong: with the first failing case.
        Refused: the point itself is refused.
    """
    tally = Tally()
    for shape in SHAPES if shapes else ():
        small = inputs(shape, q.dtype, q.device)
        # A gradient through a NaN is NaN nearly everywhere, and says nothing.
        wants_gradients = gradients and not shape.nan and shape.queries > 0 and shape.keys > 0
        try:
            _compare(function, f"{shape} {_short(q.dtype)}", small, tally, gradients=wants_gradients)
        except Refused:
            tally.refused += 1
        except Wrong:
            if not shape.nan:
                raise
            tally.nan_astray += 1
    metrics = _compare_point(function, Inputs(q, k, v, options), tally)
    if gradients:
        last = Inputs(q[:1, :, -POINT_GRADIENTS:], k[:1], v[:1], options)
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
    truth, same, other = _double(given), _again(given), _again(given)
    expected, expected_lse = standard(truth.q, truth.k, truth.v, truth.options)
    usual, usual_lse = standard(same.q, same.k, same.v, same.options)
    scaled_later, _ = standard(other.q, other.k, other.v, other.options, scale_first=False)
    usual, of_usual = _worse(usual, scaled_later, expected), (usual, scaled_later)
    found = _judge(case, given, output, usual, expected)
    tally.cases += 1
    tally.of_allowed = max(tally.of_allowed, _share(found))
    if lse is not None and usual_lse is not None and expected_lse is not None:
        # Scores of size 8 and more are what it comes of, where the logarithm itself is near 0.
        error = compare(f"{case}, log-sum-exp", lse, usual_lse, expected_lse, least_size=8.0)["error"]
        tally.lse_error = max(tally.lse_error or 0.0, error)
    worst = 0.0
    if gradients:
        if not output.requires_grad:
            raise Refused("gives no gradients")
        weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(1)).to(output)
        dones = [
            torch.autograd.grad((o * weights.to(o)).sum(), (each.q, each.k, each.v))
            for o, each in ((output, given), (of_usual[0], same), (of_usual[1], other), (expected, truth))
        ]
        for name, mine, one, two, true in zip("qkv", *dones, strict=True):
            size, theirs = _size_of_terms(truth, weights), _worse(one, two, true)
            found = compare(f"{case}, gradient of {name}", mine, theirs, true, least_size=size)
            tally.grad_of_allowed = max(tally.grad_of_allowed, _share(found))
            worst = max(worst, found["error_ratio"])
    return worst


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
    """How large the numbers are whose difference a gradient is: over one key they cancel, and the gradient is 0."""
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
        queries, shift = q.shape[2], k.shape[2] - q.shape[2]
        starts = sorted({max(0, min(at, queries - POINT_ROWS)) for at in (0, queries // 2, queries)})
        parts: list[tuple[Tensor, Tensor, Tensor]] = []
        for start in starts:
            stop = min(start + POINT_ROWS, queries)
            end = max(0, stop + shift) if options.causal else k.shape[2]
            part = Inputs(q[:1, :, start:stop], k[:1, :, :end], v[:1, :, :end], options)
            truth = _double(part)
            one, _ = standard(part.q, part.k, part.v, options)
            two, _ = standard(part.q, part.k, part.v, options, scale_first=False)
            expected, _ = standard(truth.q, truth.k, truth.v, options)
            parts.append((output[:1, :, start:stop], _worse(one, two, expected), expected))
    mine, usual, expected = (torch.cat(each, 2) for each in zip(*parts, strict=True))
    found = compare(case, mine, usual, expected)
    tally.cases += 1
    tally.of_allowed = max(tally.of_allowed, _share(found))
    return found


def _run(function: Function, case: str, given: Inputs) -> tuple[Tensor, Tensor | None]:
    result = function(given.q, given.k, given.v, given.options)
    output, lse = result if isinstance(result, tuple) else (result, None)
    if not isinstance(output, Tensor):
        raise Wrong(f"{case}: {type(output).__name__} instead of a tensor", math.inf, 0.0)
    return output, lse


def _judge(case: str, given: Inputs, output: Tensor, usual: Tensor, expected: Tensor) -> dict[str, float]:
    try:
        return compare(case, output, usual, expected)
    except Wrong as wrong:
        hint = _hint(given, output, expected, wrong.allowed)
        raise Wrong(f"{wrong.case}{hint}", wrong.error, wrong.allowed) from None


def _hint(given: Inputs, output: Tensor, expected: Tensor, allowed: float) -> str:
    """The first bad row, and what the usual mistakes would have given."""
    if output.shape != expected.shape:
        return ""
    # A NaN where there should be none is bad as well, and no comparison with it is true.
    right = (output.detach().double() - expected.detach()).abs() <= allowed
    bad = (~(right | expected.isnan())).any(-1).nonzero()
    hint = f" (first bad row {int(bad[:, 2].min())})" if len(bad) else ""
    truth = _double(given)
    for words, options in _mistakes(truth):
        guess, _ = standard(truth.q, truth.k, truth.v, options)
        if torch.allclose(output.detach().double(), guess, rtol=0, atol=max(allowed, 1e-6), equal_nan=True):
            return f"{hint}: {words}?"
    return hint


def _mistakes(truth: Inputs) -> Iterator[tuple[str, Options]]:
    options, (queries, keys) = truth.options, (truth.q.shape[2], truth.k.shape[2])
    if options.causal:
        yield "causal ignored", replace(options, causal=False)
        if queries != keys and options.attn_mask is None:
            top_left = torch.ones(queries, keys, dtype=torch.bool, device=truth.q.device).tril()
            yield "causal mask aligned top-left", replace(options, causal=False, attn_mask=top_left)
    yield "scale left out", replace(options, scale=1.0)


def _double(given: Inputs) -> Inputs:
    mask = given.options.attn_mask
    if mask is not None and mask.dtype != torch.bool:
        mask = mask.double()
    q, k, v = (x.detach().double().requires_grad_(x.requires_grad) for x in (given.q, given.k, given.v))
    return Inputs(q, k, v, replace(given.options, attn_mask=mask))


def _again(given: Inputs) -> Inputs:
    q, k, v = (x.detach().requires_grad_(x.requires_grad) for x in (given.q, given.k, given.v))
    return replace(given, q=q, k=k, v=v)


def _words(given: Inputs) -> str:
    q, k = given.q, given.k
    shape = Shape(q.shape[2], k.shape[2], given.options.causal, q.shape[3], q.shape[1], k.shape[1])
    return str(shape)


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
