"""One model of the next character: `lab run bitter-text`. Importing this costs no torch."""

from __future__ import annotations

import platform
from collections.abc import Mapping

import numpy as np

from ...trial import Context, seeded
from .ngram import NGram
from .params import Params
from .sources import SYMBOLS, sources, split

__all__ = ["Params", "trial"]


def trial(params: Params, context: Context) -> Mapping[str, float]:
    """Learn from some files of the standard library, and judge others; which, the seed draws.

    Returns: `bits`, of a character that has half of `length` before it; `read`, characters that were read, each pass of them;
    `numbers`, the parameters or the counts that are kept. Over steps, `held_out`: see `learnt.trained`.

    Raises Refused: the library has no sources, or not as many characters.
    """
    context = seeded(context, params.first_seed)
    found = sources()
    parts = split(found, params.characters, params.test_files, params.test_characters, context.seed)
    said = f"{len(found.names)} files of Python {platform.python_version()}, digest {found.digest}"
    context.sample(0, said)
    (context.folder / "sources.txt").write_text("\n".join([said, *found.names, ""]))
    half = params.length // 2
    if params.model == "ngram":
        counts = NGram(parts.train, params.order, SYMBOLS)
        logs = [counts.log2(text)[half : len(text) // half * half] for text in parts.tests]
        kept = sum(len(level.grams) for level in counts.levels)
        return {"bits": _bits(logs), "read": float(len(parts.train)), "numbers": float(kept)}
    from .learnt import log2, trained

    def after_look(step: int, bits: float) -> None:
        context.progress(step, params.steps)
        context.record(step, held_out=bits)

    model = trained(params, parts.train, SYMBOLS, context.seed, context.device, after_look)
    logs = [log2(model, text, params.length) for text in parts.tests if len(text) >= 2 * half]
    read = float(params.steps * min(params.batch, len(parts.train) // params.length) * params.length)
    return {"bits": _bits(logs), "read": read, "numbers": float(model.parameter_count)}


def _bits(logs: list[np.ndarray]) -> float:
    return float(-np.concatenate(logs).mean())
