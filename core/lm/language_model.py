"""The interface of a model and of its vocabulary, which sampling, scoring and training by reward use.

`model.Transformer` with `vocabulary.Vocabulary` implements it, and `hugging_face.Model` with its own. Importing this costs no
torch: tasks know vocabularies without models.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .cache import Cache


class Shape(Protocol):
    """Of a model: `context` is its longest sequence, prompt and completion together."""

    @property
    def context(self) -> int: ...


class LanguageModel(Protocol):
    """Token ids (batch, length) to logits (batch, length, vocabulary), in two steps; also a `torch.nn.Module`."""

    @property
    def config(self) -> Shape: ...

    @property
    def embedding(self) -> nn.Embedding: ...

    def hidden(self, ids: Tensor, cache: Cache | None = None) -> Tensor:
        """Hidden states (batch, length, d_model), from which `logits` follow; the tokens continue the cache."""

    def logits(self, hidden: Tensor) -> Tensor:
        """(…, d_model) to (…, vocabulary)."""

    def empty_cache(self, rows: int, length: int, starts: Tensor | None = None) -> Cache:
        """Room for `length` tokens of `rows` sequences; `starts` (rows,): the first column that is no padding."""

    def parameters(self) -> Iterator[nn.Parameter]: ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any: ...


class Words(Protocol):
    """Text to token ids and back."""

    @property
    def size(self) -> int:
        """How many tokens there are."""

    @property
    def eos(self) -> int:
        """The id of the token that ends an answer; `decode` writes it `<eos>`."""

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """`eos`, and the ids of other tokens that end an answer and are written so."""

    @property
    def pad(self) -> int:
        """Another id, which fills up rows."""

    def encode(self, text: str) -> list[int]:
        """The ids of a prompt."""

    def decode(self, ids: Iterable[int], *, keep_eos: bool = True) -> str:
        """The text of ids, without padding."""
