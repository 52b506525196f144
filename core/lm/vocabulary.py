"""Text to token ids and back, for a language of a few dozen words.

A tag such as `<think>` is one token: whether an answer thinks is then a single choice of the model, and a format is
right or wrong by one token. `<pad>` and `<eos>` are two tokens. Where one stands for both, padding is masked out of the
loss and `<eos>` with it, so that a model never learns to stop.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

PAD, EOS = "<pad>", "<eos>"
TAGS = ("<think>", "</think>", "<answer>", "</answer>")
"""What stands around a thought and an answer (DeepSeek-R1, arXiv:2501.12948, table 1)."""

SHOWN = 20
"""Of a text that cannot be read, so many characters are shown."""


@dataclass(frozen=True)
class Vocabulary:
    """Tokens, `<pad>` and `<eos>` among them; the id of a token is its place.

    Raises ValueError: a token is empty or there twice, or `<pad>` or `<eos>` is missing.
    """

    tokens: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in (PAD, EOS):
            if name not in self.tokens:
                raise ValueError(f"a vocabulary needs the token {name}")
        if "" in self.tokens:
            raise ValueError(f"token {self.tokens.index('')} is empty")
        if len(set(self.tokens)) < len(self.tokens):
            twice = next(token for token in self.tokens if self.tokens.count(token) > 1)
            raise ValueError(f"token {twice} is there twice")

    @property
    def size(self) -> int:
        """How many tokens there are."""
        return len(self.tokens)

    @cached_property
    def pad(self) -> int:
        """The id of `<pad>`: fills up rows, and is never learnt."""
        return self.tokens.index(PAD)

    @cached_property
    def eos(self) -> int:
        """The id of `<eos>`: ends an answer, and is learnt."""
        return self.tokens.index(EOS)

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """What ends an answer: `<eos>` alone."""
        return (self.eos,)

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits, the same on every machine for the same tokens in the same order."""
        return hashlib.blake2b(json.dumps(self.tokens).encode(), digest_size=8).hexdigest()

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: i for i, token in enumerate(self.tokens)}

    @cached_property
    def _pieces(self) -> dict[int, str]:
        # A dict and not the tuple: -1 is no token, and a tuple would give its last one.
        return {i: "" if i == self.pad else token for i, token in enumerate(self.tokens)}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        long = sorted((token for token in self.tokens if len(token) > 1), key=len, reverse=True)
        short = [token for token in self.tokens if len(token) == 1]
        # Single characters as one class: tried one after the other they would take most of the time.
        choices = [*map(re.escape, long), *(["[" + "".join(map(re.escape, short)) + "]"] if short else [])]
        return re.compile("|".join(choices))

    def encode(self, text: str) -> list[int]:
        """The ids of a text; where several tokens fit, the longest.

        Raises ValueError: a part of the text is no token; the message has its place.
        """
        found = self._pattern.findall(text)
        if sum(map(len, found)) < len(text):
            self._refuse(text)
        ids = self._ids
        return [ids[token] for token in found]

    def _refuse(self, text: str) -> None:
        at = 0
        while match := self._pattern.match(text, at):
            at = match.end()
        more = "…" if len(text) > at + SHOWN else ""
        raise ValueError(f"no token for {text[at : at + SHOWN]!r}{more} at character {at}")

    def decode(self, ids: Iterable[int], *, keep_eos: bool = True) -> str:
        """The text of ids, without padding.

        Args:
            ids: whole numbers; a row of an array or tensor has them after `.tolist()`.
            keep_eos: false drops `<eos>` as well.
        Raises ValueError: an id that no token has.
        """
        pieces = self._pieces
        try:
            text = "".join([pieces[i] for i in ids])
        except KeyError as e:
            raise ValueError(f"no token has the id {e.args[0]}; there are {self.size}") from None
        return text if keep_eos else text.replace(EOS, "")


def vocabulary(symbols: Iterable[str]) -> Vocabulary:
    """`<pad>`, `<eos>`, the tags of thoughts and answers, then the symbols."""
    return Vocabulary((PAD, EOS, *TAGS, *symbols))
