"""From a file and a request to a checked experiment, for every command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..suggest import nearest
from .checks import cross_check, grid_mistakes
from .discovery import find
from .document import Document, read
from .mistakes import Mistake, Mistakes
from .overrides import resolve
from .pruning import pruned
from .request import Request
from .schema import Experiment
from .shape import shaped
from .subject import NoSubject, Subject, load_subject


@dataclass(frozen=True)
class Loaded:
    """A resolved experiment, its subject, and the folder that its references are relative to."""

    experiment: Experiment
    subject: Subject
    folder: Path
    document: Document


def load(name: str, request: Request | None = None) -> Loaded:
    """Find, read, check and resolve an experiment; `name` is a name or a path.

    Raises Mistakes: everything that is wrong with the file, or else everything that is wrong with the request.
    """
    return load_document(read(find(name)), request or Request())


def load_document(document: Document, request: Request, *, is_resolved: bool = False) -> Loaded:
    """The same from a document already read.

    `is_resolved`: it is the `experiment.yaml` of a run, checked when that run began; its claims may name variants that
    the run left out.
    """
    try:
        as_written = shaped(document)
    except Mistakes as of_shape:
        raise Mistakes([*of_shape.mistakes, *_beside(document)]) from None
    subject = _subject(as_written, document)
    if not is_resolved and (mistakes := cross_check(as_written, document, subject)):
        raise Mistakes(mistakes)
    resolved = resolve(document, subject, request)
    experiment = shaped(resolved)
    mistakes = list(grid_mistakes(experiment, resolved, subject))
    if experiment.baseline not in experiment.variants:
        what = f"no variant {experiment.baseline}.{nearest(experiment.baseline, experiment.variants)}"
        mistakes.append(Mistake(resolved.position(("baseline",)), what))
    if mistakes:
        raise Mistakes(mistakes)
    return Loaded(experiment, subject, document.folder, resolved)


def _beside(document: Document) -> list[Mistake]:
    """The other mistakes of a file, in the parts whose shape is right."""
    if (rest := pruned(document)) is None:
        return []
    try:
        return cross_check(*rest, _subject(*rest))
    except Mistakes as mistakes:
        return mistakes.mistakes


def validate(path: Path) -> Loaded:
    """Check a file with each of its presets. Raises Mistakes: all of them."""
    document = read(path)
    loaded = load_document(document, Request())
    mistakes: list[Mistake] = []
    for preset in loaded.experiment.presets:
        try:
            load_document(document, Request(preset=preset))
        except Mistakes as error:
            mistakes += error.mistakes
    if mistakes:
        raise Mistakes(mistakes)
    return loaded


def _subject(experiment: Experiment, document: Document) -> Subject:
    try:
        return load_subject(experiment.trial, document.folder)
    except NoSubject as error:
        raise Mistakes([Mistake(document.position(("trial",)), str(error))]) from None
