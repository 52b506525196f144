"""The teacher of a seed: what `grpo` makes of a base model that thinks, or a pretrained model; its traces; its price."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..distill.on_policy import check_same_tokens
from ..grpo.config import GRPOConfig
from ..grpo.params import Params as GRPOParams
from ..grpo.params import first_of, mixture_of, task_key
from ..grpo.tasks import Task
from ..grpo.trained_policy import policy_key, trained_policy
from ..lm.language_model import LanguageModel
from ..lm.products import made_by
from ..source_digest import source_digest
from ..trial import Context
from .account import FORWARD, UPDATE, operations
from .params import Params, teacher_params
from .traces import Traces, load_traces, make_traces

SAMPLE = 1000
"""Demonstrations and problems from which the mean length of a text is taken."""


@dataclass(frozen=True)
class Teacher:
    """A teacher, and the floating-point operations of its own training: as a base model, and by rewards.

    Of a pretrained one these are not known, and 0.
    """

    model: LanguageModel
    training: float


def teacher_of(params: Params, task: Task, context: Context) -> Teacher:
    """The teacher of this seed, from the cache or trained now.

    Args:
        task: in the student's tokens.

    Raises:
        ValueError: the teacher's tokens are not the student's.
        NoBaseModel: no base model of the teacher is inside the window.
    """
    if params.teacher is not None:
        from ..lm.hugging_face import load

        model, words = load(params.teacher.hf)
        check_same_tokens(task.vocabulary, words)
        return Teacher(model.to(context.device), 0.0)
    own_params = teacher_params(params)
    trained = trained_policy(own_params, context)
    check_same_tokens(task.vocabulary, trained.task.vocabulary)
    return Teacher(trained.model, _training(own_params, trained.task, trained.model, trained.facts.tokens))


def _training(params: GRPOParams, task: Task, model: LanguageModel, tokens: float) -> float:
    """Operations of a base model's training, in one part or two, and of GRPO: sampling, update and, for the KL term, the
    reference.

    Prompts and demonstrations are counted by their mean length. Base models that were rejected are not counted.
    """
    random, encode = np.random.default_rng(0), task.vocabulary.encode
    of_base = 0.0
    for part in filter(None, (first_of(params), params)):
        shown = task.demonstrations(random, SAMPLE, mixture_of(part))
        length = sum(len(encode(problem.prompt)) + len(encode(text)) for problem, text in shown) / SAMPLE
        of_base += operations(model, part.base_steps * part.base_batch * length, UPDATE)
    prompt = sum(len(encode(problem.prompt)) for problem in task.problems(random, SAMPLE, "train")) / SAMPLE
    passes = FORWARD + UPDATE + (FORWARD if params.beta > 0 else 0)
    return of_base + operations(model, tokens + params.steps * params.num_prompts * prompt, passes)


def traces_of(params: Params, teacher: Teacher, task: Task, config: GRPOConfig, context: Context) -> Traces:
    """The right answers of this seed's teacher, sampled once for all students.

    Raises Refused: none of its answers is right.
    """
    tokens = params.traces or params.tokens

    def make(folder: Path) -> None:
        make_traces(folder, teacher.model, task, config, tokens, context.seed)

    if params.teacher is None:
        of: list[object] = [policy_key(teacher_params(params), task, context.seed, context.device)]
    else:
        from ..own_files import digest

        of = [task_key(params, task), digest(params.teacher.hf), context.device, *made_by()]
    sampling = [config.num_prompts, config.num_generations, config.max_completion_length]
    key = ["traces", of, tokens, context.seed, sampling, source_digest(__name__)]
    return load_traces(context.cached(json.dumps(key, sort_keys=True), make))
