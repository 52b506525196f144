"""Checks of pretrained models before anything runs."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from ...lm.hugging_face import load
from ...lm.pretrained import PretrainedModel
from ...trial import Nearby
from ..language import view
from ..losses.cross_tokenizer import shared, trie
from ..shared_params import SharedParams, source_of
from .signals import signal_terms
from .tokenizers import Tokenizer, documents_of_file, of_hugging_face, of_view, tokenize


def check_models(
    params: SharedParams,
    nearby: Nearby,
    signal: str,
    student: PretrainedModel | None,
    teacher: PretrainedModel | None,
    text: Path | None,
    characters: int,
) -> None:
    """Check that pretrained models load, that they align on an example, and that their vocabularies fit the signal.

    Args:
        params: of the known language, whose views stand in for models that are None.
        nearby: resolves paths of the experiment's file.
        signal, student, teacher, text, characters: as in `Params`.
    Raises ValueError: a folder that holds no model, a file that holds no text, vocabularies that do not fit the signal.
    """
    try:
        source = source_of(params)
        tokenizers = []
        for model, of in ((student, "char"), (teacher, "bpe")):
            if model is not None:
                tokenizers.append(_tokenizer(nearby.path(model.hf)))
            else:
                tokenizers.append(of_view(source.view if of == "bpe" else view(source.language, of)))
        if text is not None:
            example = documents_of_file(nearby.path(text), characters)[0]
        else:
            example = source.language.words[0] + " "
    except (OSError, ImportError) as e:
        raise ValueError(str(e)) from e
    tokenize(tokenizers[0], tokenizers[1], [example])
    signals = signal_terms(signal)
    if signals.keys() & {"exact-string", "gold-observed", "gold-bayesian"}:
        shared(tokenizers[0].pieces, tokenizers[1].pieces)
    if signals.keys() & {"marginal", "exact-marginal"}:
        trie(tokenizers[0].pieces, tokenizers[1].pieces)


@lru_cache
def _tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a folder, without its model, cached, since an experiment is read once for each variant."""
    model, vocabulary = load(folder)
    return of_hugging_face(vocabulary, model.config.vocabulary)
