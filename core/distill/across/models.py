"""From the knobs to a student that is ready to learn: models, texts, and what the signals read of the teacher."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from ...lm.hugging_face import load
from ...lm.training import Recipe
from ...own_files import digest
from ...trial import Context, Nearby, TwoCuts
from ..knobs import config_of, seed_of, source_of, student_of, teacher_of
from ..language import Oracle, Truth, View, evaluate, view
from ..losses.cross_tokenizer import shared, trie
from ..student import Student
from ..teacher import held_out_text, train_teacher, transfer_text
from ..text import Source
from .drawing import drawn
from .lesson import Lesson
from .names import OF_STATES, weights_of
from .sides import Both, Side, both, given, of_file, ours, written
from .told import Guide, Told
from .trial import CURVES, Params

AT_ONCE = 32
"""So many documents are judged at once."""


@dataclass(eq=False)
class Running:
    """A student and its judges.

    Attributes:
        student: ready to learn, or to be restored.
        guide: its teacher.
        held_out: the text that both are judged by.
        truth: of a student of characters, by which it is judged exactly; None where there is none.
        least: bits that the truth itself needs for a byte of the held-out text; None where it is not known.
        drawing: one sentence in both models' tokens.
        taught: operations of the teacher's training and outputs; 0 where nothing is learned from it.
        read: bytes of the teacher's files, as they lie on the disk, by bytes of the text.
    """

    student: Student
    guide: Guide
    held_out: Both
    truth: Truth | None
    least: float | None
    drawing: TwoCuts
    taught: float
    read: float

    def point(self, student: Student, context: Context) -> None:
        """A point of the curves, from a quarter of the held-out text."""
        found = self._figures(max(1, len(self.held_out.texts) // 4))
        context.record(student.step, **{name: found[name] for name in CURVES if name in found})

    def judged(self) -> dict[str, float]:
        """The student's figures and its teacher's, on the whole held-out text."""
        found = self._figures(len(self.held_out.texts))
        bits = bits_per_byte(self.guide.model, self.held_out, "teacher")
        found["teacher/bits"] = bits
        if self.least is not None:
            found["teacher/excess_bits"] = bits - self.least
        return found

    def _figures(self, documents: int) -> dict[str, float]:
        model = self.student.model
        if self.truth is not None:
            ids = self.held_out.student_ids[:documents].to(model.embedding.weight.device)
            found = evaluate(self.truth, ids, model, AT_ONCE).measures()
            bits = found["nll_bits"]
            least = evaluate(self.truth, ids, Oracle(self.truth), AT_ONCE).measures()["nll_bits"]
            return found | {"bits": bits, "excess_bits": bits - least}
        bits = bits_per_byte(model, self.held_out, "student", documents)
        # What the truth needs for a part of the text is not kept; a curve of bits is enough there.
        whole = self.least is not None and documents == len(self.held_out.texts)
        return {"bits": bits} | ({"excess_bits": bits - float(self.least or 0)} if whole else {})


@torch.inference_mode()
def bits_per_byte(model: Any, text: Both, who: str, documents: int | None = None) -> float:
    """−log₂ of a text in a model's own tokens, by the bytes of the text.

    Args:
        who: "student" or "teacher", whose tokens are read.
    """
    rows = text.student_ids if who == "student" else text.teacher_ids
    lengths = torch.tensor([len(pair[who == "teacher"].ids) for pair in text.cut], device="cpu")
    rows, lengths = rows[:documents], lengths[:documents]
    nats = 0.0
    for ids, lasts in zip(torch.split(rows, AT_ONCE), torch.split(lengths, AT_ONCE), strict=True):
        ids = ids.to(model.embedding.weight.device)
        logits = model(ids[:, :-1]).float()
        mask = torch.arange(ids.shape[1] - 1, device="cpu") < lasts[:, None]
        nats += float(F.cross_entropy(logits[mask], ids[:, 1:][mask], reduction="sum"))
    return nats / math.log(2) / sum(len(each.encode()) for each in text.texts[:documents])


def ready(params: Params, context: Context) -> Running:
    """Everything that a training needs, from the cache where it is known there.

    Raises:
        ValueError, Unusable: as `trial` says.
    """
    source = source_of(params)
    guide = _guide(params, source, context)
    letters = view(source.language, "char")
    model, side = _student(params, letters, source, context)
    texts, held_out = _texts(params, source, seed_of(params, context))
    text, judged = both(side, guide.side, texts), both(side, guide.side, held_out)
    _check_length(guide.model, text, judged, "teacher")
    _check_length(model, text, judged, "student")
    lesson, taught, read = _lesson(params, Told(guide, text, params.rebuild), context)
    recipe = Recipe(params.steps, params.batch, lr=params.learning_rate)
    student = Student(model, recipe, lesson, seed_of(params, context))
    truth = Truth(source.language, letters) if params.model is None else None
    least = None
    if params.text is None:
        known = truth or Truth(source.language, letters)
        least = evaluate(known, letters.rows(held_out), Oracle(known), AT_ONCE).measures()["nll_bits"]
    return Running(student, guide, judged, truth, least, drawn(side, guide.side, texts[0]), taught, read)


def check(params: Params, nearby: Nearby) -> None:
    """Find out what `ready` would raise of given models, before anything runs.

    Raises:
        ValueError: a folder that holds no model, a text that is none, vocabularies that do not fit the signal.
    """
    try:
        source = source_of(params)
        sides = []
        for what, of in ((params.model, "char"), (params.teacher, "bpe")):
            if what is not None:
                sides.append(_seen(nearby.path(what.hf)))
            else:
                sides.append(ours(source.view if of == "bpe" else view(source.language, of)))
        if params.text is not None:
            example = of_file(nearby.path(params.text), params.characters)[0]
        else:
            example = source.language.words[0] + " "
    except (OSError, ImportError) as e:
        raise ValueError(str(e)) from e
    both(sides[0], sides[1], [example])
    signals = weights_of(params.signal)
    if signals.keys() & {"exact-string", "gold-observed", "gold-bayesian"}:
        shared(sides[0].pieces, sides[1].pieces)
    if signals.keys() & {"marginal", "exact-marginal"}:
        trie(sides[0].pieces, sides[1].pieces)


@lru_cache
def _seen(folder: Path) -> Side:
    """An experiment is read once for each of its variants; the model itself is not kept."""
    model, words = load(folder)
    return given(words, model.config.vocabulary)


def _guide(params: Params, source: Source, context: Context) -> Guide:
    if params.teacher is not None:
        model, words = load(params.teacher.hf)
        key = f"given {digest(params.teacher.hf)}"
        return Guide(_frozen(model, context), given(words, model.config.vocabulary), key, 0.0)
    teacher = teacher_of(params, source, context)
    trained, _ = train_teacher(context, teacher)
    return Guide(_frozen(trained, context), ours(source.view), teacher.key, teacher.flops(0))


def _frozen(model: Any, context: Context) -> Any:
    return model.to(context.device).eval().requires_grad_(False)


def _student(params: Params, letters: View, source: Source, context: Context) -> tuple[Any, Side]:
    if params.model is not None:
        model, words = load(params.model.hf)
        return model.to(context.device), given(words, model.config.vocabulary)
    longest = params.columns * int(source.view.lengths.max()) + 1
    return student_of(config_of(params, letters.size, longest), params, context), ours(letters)


def _texts(params: Params, source: Source, seed: int) -> tuple[list[str], list[str]]:
    """Of the students, and held out."""
    if params.text is not None:
        found = of_file(params.text, params.characters)
        few = min(params.held_out, max(1, len(found) // 10))
        return found[few : few + params.documents], found[:few]
    room = _longest_beginning(source.view)
    if params.tokens + room > params.columns - 1:
        raise ValueError(
            f"tokens is {params.tokens} and the beginning of a word has up to {room}: together more than the "
            f"{params.columns - 1} that columns leaves"
        )
    width = 1 + params.tokens
    return (
        written(source.view, transfer_text(source, params.documents, seed)[:, :width]),
        written(source.view, held_out_text(source, params.held_out)[:, :width]),
    )


def _longest_beginning(of: View) -> int:
    """Tokens of the beginning of a word that needs most: so much room the exact marginal's questions leave in a context."""
    starts = {word[:end] for word in of.words for end in range(1, len(word) + 1)}
    return max(len(of.encode(start)) for start in starts)


def _lesson(params: Params, told: Told, context: Context) -> tuple[Lesson, float, float]:
    """And operations of the teacher, and bytes of its files by bytes of the text."""
    text, guide, weights = told.text, told.guide, weights_of(params.signal)
    if "teacher-text" in weights:
        texts = told.writes(context, text.bytes)
        cut = [text.student.tokens(each) for each in texts]
        lesson = Lesson(text.student.rows(cut), _mask(cut), {"data": weights["teacher-text"]}, text)
        return (
            lesson,
            guide.trained + guide.per_token * sum(len(guide.side.encode(each)) for each in texts),
            1.0,
        )
    ids, mask = text.student_ids, _mask([pair[0] for pair in text.cut])
    files: dict[Path, float] = {}
    outputs = states = None
    flops, targets = 0.0, {}
    for name in weights:
        if name in ("marginal", "exact-marginal"):
            targets[name], ran = told.targets(context, name)
            files[targets[name].path] = targets[name].bytes_per_token * targets[name].tokens
            flops = max(flops, ran)
        elif name != "data":
            outputs, states = told.outputs(context)
            if name != "hidden-states":
                files[outputs.path] = outputs.bytes_per_token * outputs.tokens
            if name in OF_STATES:
                files[outputs.path.parent / "states"] = float(states.nbytes)
            flops = max(flops, told.operations)
    flops += guide.trained if flops else 0.0
    lesson = Lesson(ids, mask, weights, text, guide.model, outputs, states, targets)
    return lesson, flops, sum(files.values()) / text.bytes


def _mask(cut: list[Any]) -> torch.Tensor:
    lengths = torch.tensor([len(each.ids) for each in cut], device="cpu")
    return torch.arange(int(lengths.max()), device="cpu") < lengths[:, None]


def _check_length(model: Any, text: Both, held_out: Both, who: str) -> None:
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
