"""A language whose next-token distribution is known exactly, so that a model's KL from it is computed, not estimated.

* `words`: pseudo-words; `hmm`: the language, a hidden Markov model over words, `word_hmm(topics=8, words=2000)`.
* `merges`: byte-pair encoding; `views`: the tokenisers `char`, `bpe` and `word`, each a vocabulary for `lab.core.lm`.
* `trie`: the words as tokens; `truth`: the exact next-token distribution in each view; `oracle`: the same as a teacher.
* `evaluation`: KL, calibration, invalid words of a model; `entropy`: the entropy rate.

    language = word_hmm()
    bpe = view(language, "bpe", size=512)
    ids = bpe.rows(language.write(np.random.default_rng(1), documents=64, characters=500), columns=128)
    evaluate(Truth(language, bpe), ids, model).measures()["kl_bits"]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import names_of

if TYPE_CHECKING:
    from .entropy import Entropies, entropies
    from .evaluation import Figures, evaluate, figures, invalid_words
    from .hmm import MARK, Language, Scored, word_hmm
    from .oracle import Oracle
    from .truth import Reading, Truth
    from .views import VIEWS, View, view

__all__ = [
    "MARK", "VIEWS", "Entropies", "Figures", "Language", "Oracle", "Reading", "Scored", "Truth", "View",
    "entropies", "evaluate", "figures", "invalid_words", "view", "word_hmm",
]  # fmt: skip

if not TYPE_CHECKING:
    __getattr__ = names_of(__name__)
