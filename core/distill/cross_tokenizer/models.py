"""From the parameters to a student that is ready to train: models, texts, objective and evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...lm.hugging_face import load
from ...lm.training import Recipe
from ...own_files import digest
from ...trial import Context, TwoCuts
from ..language import Oracle, Truth, View, evaluate, view
from ..losses.cross_tokenizer import Tokens
from ..shared_params import config_of, seed_of, source_of, student_of, teacher_of
from ..student import Student
from ..teacher import held_out_text, train_teacher, transfer_text
from ..text import Source
from .evaluation import AT_ONCE, Evaluation
from .figure import two_tokenizations
from .objective import Objective
from .params import Params
from .signals import STATES, signal_terms
from .teacher_outputs import TeacherModel, TeacherOutputs
from .tokenizers import (
    TokenizedTexts,
    Tokenizer,
    decode_rows,
    documents_of_file,
    of_hugging_face,
    of_view,
    tokenize,
)


@dataclass(frozen=True, eq=False)
class Training:
    """A student that is ready to train or to be restored, and what belongs to it.

    Attributes:
        figure: one sentence in both models' tokens.
        teacher_flops: of the teacher's training and outputs; 0 where no signal reads a teacher.
        bytes_per_character: bytes on disk of the teacher's files that the signals read, by bytes of the text.
    """

    student: Student
    evaluation: Evaluation
    figure: TwoCuts
    teacher_flops: float
    bytes_per_character: float


def set_up(params: Params, context: Context) -> Training:
    """Make all that a training needs, or take it from the cache. Raises ValueError, Unusable: as `trial`."""
    source = source_of(params)
    teacher = _teacher(params, source, context)
    letters = view(source.language, "char")
    model, tokenizer = _student(params, letters, source, context)
    texts, held_out = _texts(params, source, seed_of(params, context))
    text, held_out_tokens = (tokenize(tokenizer, teacher.tokenizer, x) for x in (texts, held_out))
    _check_length(teacher.model, text, held_out_tokens, "teacher")
    _check_length(model, text, held_out_tokens, "student")
    teacher_outputs = TeacherOutputs(teacher, text, params.rebuild)
    objective, flops, bytes_per_character = _objective(params, teacher_outputs, context)
    recipe = Recipe(params.steps, params.batch, lr=params.learning_rate)
    student = Student(model, recipe, objective, seed_of(params, context))
    truth = Truth(source.language, letters) if params.model is None else None
    truth_bits = None
    if params.text is None:
        known = truth or Truth(source.language, letters)
        truth_bits = evaluate(known, letters.rows(held_out), Oracle(known), AT_ONCE).measures()["nll_bits"]
    return Training(
        student,
        Evaluation(teacher, held_out_tokens, truth, truth_bits),
        two_tokenizations(tokenizer, teacher.tokenizer, texts[0]),
        flops,
        bytes_per_character,
    )


def _teacher(params: Params, source: Source, context: Context) -> TeacherModel:
    if params.teacher is not None:
        model, vocabulary = load(params.teacher.hf)
        key = f"given {digest(params.teacher.hf)}"
        tokenizer = of_hugging_face(vocabulary, model.config.vocabulary)
        return TeacherModel(_frozen(model, context), tokenizer, key, 0.0)
    teacher = teacher_of(params, source, context)
    trained, _ = train_teacher(context, teacher)
    return TeacherModel(_frozen(trained, context), of_view(source.view), teacher.key, teacher.flops(0))


def _frozen(model: Any, context: Context) -> Any:
    return model.to(context.device).eval().requires_grad_(False)


def _student(params: Params, letters: View, source: Source, context: Context) -> tuple[Any, Tokenizer]:
    if params.model is not None:
        model, vocabulary = load(params.model.hf)
        return model.to(context.device), of_hugging_face(vocabulary, model.config.vocabulary)
    longest = params.columns * int(source.view.lengths.max()) + 1
    return student_of(config_of(params, letters.size, longest), params, context), of_view(letters)


def _texts(params: Params, source: Source, seed: int) -> tuple[list[str], list[str]]:
    """The documents of the students, and those held out."""
    if params.text is not None:
        found = documents_of_file(params.text, params.characters)
        held_out = min(params.held_out, max(1, len(found) // 10))
        return found[held_out : held_out + params.documents], found[:held_out]
    room = _longest_beginning(source.view)
    if params.tokens + room > params.columns - 1:
        raise ValueError(
            f"tokens is {params.tokens} and the beginning of a word has up to {room}: together more than the "
            f"{params.columns - 1} that columns leaves"
        )
    width = 1 + params.tokens
    return (
        decode_rows(source.view, transfer_text(source, params.documents, seed)[:, :width]),
        decode_rows(source.view, held_out_text(source, params.held_out)[:, :width]),
    )


def _longest_beginning(of: View) -> int:
    """Largest number of tokens that a beginning of a word has; `exact_marginal` needs so much room behind a prefix."""
    starts = {word[:end] for word in of.words for end in range(1, len(word) + 1)}
    return max(len(of.encode(start)) for start in starts)


def _objective(
    params: Params, teacher_outputs: TeacherOutputs, context: Context
) -> tuple[Objective, float, float]:
    """The objective, operations of the teacher, and bytes of its files by bytes of the text."""
    text, teacher, weights = teacher_outputs.text, teacher_outputs.teacher, signal_terms(params.signal)
    if "teacher-text" in weights:
        texts = teacher_outputs.generated(context, text.bytes)
        tokens = [text.student.tokens(each) for each in texts]
        objective = Objective(
            text.student.rows(tokens), _mask(tokens), {"data": weights["teacher-text"]}, text
        )
        written = sum(len(teacher.tokenizer.encode(each)) for each in texts)
        return objective, teacher.trained + teacher.per_token * written, 1.0
    ids, mask = text.student_ids, _mask([pair[0] for pair in text.tokens])
    files: dict[Path, float] = {}
    outputs = states = None
    flops, targets = 0.0, {}
    for name in weights:
        if name in ("marginal", "exact-marginal"):
            targets[name], operations = teacher_outputs.targets(context, name)
            files[targets[name].path] = targets[name].bytes_per_token * targets[name].tokens
            flops = max(flops, operations)
        elif name != "data":
            outputs, states = teacher_outputs.outputs(context)
            if name != "hidden-states":
                files[outputs.path] = outputs.bytes_per_token * outputs.tokens
            if name in STATES:
                files[outputs.path.parent / "states"] = float(states.nbytes)
            flops = max(flops, teacher_outputs.flops)
    flops += teacher.trained if flops else 0.0
    objective = Objective(ids, mask, weights, text, teacher.model, outputs, states, targets)
    return objective, flops, sum(files.values()) / text.bytes


def _mask(tokens: list[Tokens]) -> Tensor:
    """(documents, longest), true where a document has a token."""
    lengths = torch.tensor([len(each.ids) for each in tokens], device="cpu")
    return torch.arange(int(lengths.max()), device="cpu") < lengths[:, None]


def _check_length(model: Any, text: TokenizedTexts, held_out: TokenizedTexts, who: str) -> None:
    rows = (
        (text.student_ids, held_out.student_ids)
        if who == "student"
        else (text.teacher_ids, held_out.teacher_ids)
    )
    longest, room = max(ids.shape[1] for ids in rows), model.config.context
    if longest > room:
        raise ValueError(
            f"a document has {longest} of the {who}'s tokens, which do not fit into its context of {room}: lower "
            "columns (or characters, of a text of one's own)"
        )
