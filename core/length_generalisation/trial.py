"""One arm at one length, `lab run position`: trained once for all lengths, then measured.

Importing this costs no torch: the command line reads `Params` before anything heavy is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..lm.kernels import kernels_of_training
from ..trial import Context, Kernel, Refused, seeded
from .params import Params

__all__ = ["Params", "kernels", "trial"]

LEARNT = 0.9
"""Answers of a seed that has learnt a length."""


def kernels(params: Params) -> Sequence[Kernel]:
    """Those of a training."""
    return kernels_of_training()


def trial(params: Params, context: Context) -> Mapping[str, float]:
    """Measure an arm at `length`; its curves are of this length, over the steps of its training, or of its second one, and over
    `distance` that of `attention`, see `by_distance`.

    Returns: of the last checkpoint `right`, the share of whole answers, `token`, of tokens, `loss`, nats for one, and `learnt`, 1
    where right is above 0.9; `lost` and `more_loss`, how much lower token and higher loss are than at the trained length;
    `attended`, see `evaluation.right_key`. With a factor on the logits of attention: `…/log_n`, log of a text's tokens by that of
    the longest of training; `…/best_factor`, the `factor` with the lowest loss on selection problems of twice the trained length, and
    `beyond_half/…`, how much more that is than midway between what is right without it here and at the trained length. Where it
    is tested as it was trained last, `best/right` and `best/token`, of the checkpoint that is best on selection problems of `length`,
    `eroded`, best/right less right. Of a first training `steps`, those until 0.95 of selection problems of the trained length are right; all of
    them where that is never reached.

    Raises:
        Refused: the encoding says nothing of texts as long as these.
        NotFinite, EncodingError: the loss is not; a user's encoding is none.
    """
    from ..position import Undefined

    try:
        return _measured(params, seeded(context, params.first_seed))
    except Undefined as why:
        raise Refused(f"undefined beyond {params.trained}: {why}") from why


def _measured(params: Params, context: Context) -> dict[str, float]:
    import math
    from dataclasses import replace

    from ..lm.model import Transformer
    from ..position import Undefined
    from .arms import arm_of, encoding_of
    from .by_distance import attention_by_distance
    from .evaluation import answered, best_factor, right_key, score, with_factor
    from .tasks import task as task_of
    from .training import SELECTION, TEST, model_with, problems, trained

    task = task_of(params.task, params.symbols, params.judged_at[-1])
    arm = arm_of(params.implementation or context.variant)
    found = trained(arm, params, task, context)
    name = arm.tested or arm.then or arm.trained

    def tested(length: int, best: bool = False) -> Transformer:
        encoding = encoding_of(name, params, task, context.load, length)
        return model_with(found.best[length] if best else found.last, encoding, params, task).to(
            context.device
        )

    length, double = params.tested, 2 * params.trained
    texts, in_range = (problems(params, task, context.seed, TEST, each) for each in (length, params.trained))
    model = tested(length)
    plain, before = score(model, texts), score(tested(params.trained), in_range)
    by_log = math.log(texts.ids.shape[1]) / math.log(in_range.ids.shape[1])
    try:
        factor = best_factor(tested(double), problems(params, task, context.seed, SELECTION, double))
    except Undefined:  # as a learned table's there; then none is seen
        factor = 1.0
    figures = {
        "right": plain.right,
        "token": plain.token,
        "loss": plain.loss,
        "learnt": float(plain.right > LEARNT),
        "factor": factor,
    }
    for which, value in (("log_n", by_log), ("best_factor", factor)):
        scaled = score(with_factor(model, value), texts)
        figures |= {f"right/{which}": scaled.right, f"token/{which}": scaled.token}
    figures |= {"lost": before.token - plain.token, "more_loss": plain.loss - before.loss}
    for which in ("right", "token"):
        midway = (getattr(plain, which) + getattr(before, which)) / 2
        figures[f"beyond_half/{which}"] = figures[f"{which}/best_factor"] - midway
    if (attended := right_key(model, texts)) is not None:
        figures["attended"] = attended
    for distance, share in enumerate(attention_by_distance(model, texts)):
        context.record(distance, distance=float(distance), attention=share)
    if arm.tested is None:
        best = score(tested(length, best=True), texts)
        figures |= {"best/right": best.right, "best/token": best.token, "eroded": best.right - plain.right}
        if arm.then is None:
            figures["steps"] = float(found.reached)
        for each in found.curve:
            if length in each.scored:
                right, token = each.scored[length]
                context.record(
                    each.step, **{"step/right": right, "step/token": token, "step/loss": each.loss}
                )
    one = replace(texts, ids=texts.ids[:1], source=texts.source[:1])
    said, answer = answered(model, one)[0].numpy(force=True), texts.ids[0, texts.start :]
    verdict = "right" if (said == answer)[texts.counts].all() else "wrong"
    context.sample(length, f"{task.written(texts.ids[0, : texts.start])} {task.written(said)}  {verdict}")
    return figures
