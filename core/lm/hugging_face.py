"""Causal models and tokenizers of Hugging Face's transformers, from a folder, in place of ours.

Nothing is downloaded: a folder holds what `save_pretrained` of a model and of its tokenizer wrote. transformers (the
extra `hf`) is imported when something is loaded.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .cache import Cache, empty
from .vocabulary import EOS

TOLERANCE = 1e-4
"""How far two ways to the same logits may be apart, as a share of the largest."""

TOKENIZER = "tokenizer*", "vocab*", "*.model"
"""What a tokenizer may be called in its folder, now and in older versions."""


@dataclass(frozen=True)
class Config:
    """The shape of a model, as a cache and a batch need it.

    Attributes:
        vocabulary: rows of the embedding; some models have more of them than there are tokens.
        context: the longest sequence, prompt and completion together.
        layers, kv_heads, head_dim: of the keys and values that a cache keeps.
    """

    vocabulary: int
    context: int
    layers: int
    kv_heads: int
    head_dim: int


class Model(nn.Module):
    """Token ids to logits, as `Transformer` does it, by a model of transformers: `inner`, head and all.

    Dropout stays off unless somebody calls `train()`: what samples and what learns must be the same distribution.
    """

    def __init__(self, inner: Any, config: Config) -> None:
        super().__init__()
        self.inner = inner
        self.config = config
        self._cached, self._cache_name = _cached_class(), _cache_name(inner)
        self.eval()

    @property
    def embedding(self) -> nn.Embedding:
        """A property: as an attribute its weights would be in `state_dict` twice."""
        found: nn.Embedding = self.inner.get_input_embeddings()
        return found

    def hidden(self, ids: Tensor, cache: Cache | None = None) -> Tensor:
        """The states (batch, length, d_model) that logits are made of.

        Without a cache, padding follows the tokens, so causal attention ignores it. With one it precedes them: it is
        masked, and a row's positions count from its first token.

        Arguments and errors are those of `model.Transformer.hidden`.
        """
        first = 0 if cache is None else cache.length
        last = first + ids.shape[1]
        if last > self.config.context:
            raise ValueError(f"{last} tokens do not fit into a context of {self.config.context}")
        if cache is None:
            plain: Tensor = self.inner.base_model(input_ids=ids, use_cache=False)[0]
            return plain
        columns = torch.arange(last, device=ids.device)
        starts = columns.new_zeros(1) if cache.starts is None else cache.starts
        more = {
            # Of padding, position 0: no one looks there, and negative ones crash learned positions.
            "position_ids": (columns[first:] - starts[:, None]).clamp(min=0).expand(len(ids), -1),
            "attention_mask": None if cache.starts is None else (columns >= starts[:, None]).long(),
            self._cache_name: self._cached(cache),
        }
        hidden: Tensor = self.inner.base_model(input_ids=ids, use_cache=True, **more)[0]
        cache.length = last
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """(…, d_model) to (…, vocabulary)."""
        logits: Tensor = self.inner.get_output_embeddings()(hidden)
        return logits

    def forward(self, ids: Tensor, cache: Cache | None = None) -> Tensor:
        return self.logits(self.hidden(ids, cache))

    def empty_cache(self, rows: int, length: int, starts: Tensor | None = None) -> Cache:
        """Room for `length` tokens of `rows` sequences; `starts` (rows,): the first column that is no padding."""
        config = self.config
        shape = (config.layers, rows, config.kv_heads, length, config.head_dim)
        return empty(shape, self.embedding.weight, starts)


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer of transformers with the interface of our vocabulary.

    Attributes:
        tokenizer: of transformers.
        before: ids that the tokenizer puts before a text, such as `<s>`.
        eos_ids: ids that end an answer, the tokenizer's own first. Chat models often have several.
    """

    tokenizer: Any
    before: tuple[int, ...]
    eos_ids: tuple[int, ...]

    @cached_property
    def size(self) -> int:
        """How many tokens there are."""
        return len(self.tokenizer)

    @cached_property
    def eos(self) -> int:
        """The id of the token that ends an answer."""
        return self.eos_ids[0]

    @cached_property
    def _own_pad(self) -> int | None:
        pad = self.tokenizer.pad_token_id
        return None if pad is None or pad in self.eos_ids else int(pad)

    @cached_property
    def pad(self) -> int:
        """The tokenizer's padding; where it has none, or an end for it, any other id, for padding is never looked at."""
        return (
            self._own_pad
            if self._own_pad is not None
            else min({*range(len(self.eos_ids) + 1)} - {*self.eos_ids})
        )

    def encode(self, text: str) -> list[int]:
        """The ids of a prompt: with what the tokenizer puts before a text, and never with an end."""
        return [*self.before, *_encoded(self.tokenizer, text)]

    def decode(self, ids: Iterable[int], *, keep_eos: bool = True) -> str:
        """The text of ids, without padding; the end is written `<eos>`, as rewards and verifiers know it.

        Args:
            ids: whole numbers; a row of an array or tensor has them after `.tolist()`.
            keep_eos: false drops `<eos>`.
        """
        parts: list[list[int]] = [[]]
        for i in ids:
            if i in self.eos_ids:
                parts.append([])
            elif i != self._own_pad:
                parts[-1].append(i)
        # Tags may be special tokens, which rewards must see.
        options = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
        texts = [self.tokenizer.decode(part, **options) if part else "" for part in parts]
        return (EOS if keep_eos else "").join(texts)


def load(path: str | Path) -> tuple[Model, Vocabulary]:
    """A causal model, in float32 on the CPU, and its tokenizer, from a folder with both.

    Before anything is made of it, a few tokens go through the model twice: read at once by transformers itself, and
    piece by piece through our cache with padding before them. Models that see later tokens, or whose logits are not
    just the head of the last states, do not pass.

    Raises:
        ModuleNotFoundError: transformers is not installed.
        FileNotFoundError: there is no such folder, or no model or no tokenizer in it.
        ValueError: what is there cannot stand in for ours; the message says why.
    """
    folder = Path(path)
    transformers = _transformers()
    if not (folder / "config.json").is_file():
        what = "no config.json in it" if folder.is_dir() else "no such folder"
        raise FileNotFoundError(
            f"{folder}: {what}; a model is a folder made by save_pretrained, and none is fetched"
        )
    if not any(any(folder.glob(name)) for name in TOKENIZER):  # transformers would make an empty one
        raise FileNotFoundError(
            f"{folder}: no tokenizer in it; save_pretrained of the tokenizer puts it there"
        )
    from_here = {"local_files_only": True, "trust_remote_code": False}
    try:
        with _quiet(transformers):
            tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), **from_here)
            inner, found = transformers.AutoModelForCausalLM.from_pretrained(
                str(folder), dtype=torch.float32, output_loading_info=True, **from_here
            )
    except Exception as e:  # it raises whatever the file formats and models below it do
        said = str(e).strip().splitlines()
        what = said[0] if said else type(e).__name__
        raise ValueError(f"{folder}: transformers cannot load it: {what}") from e
    if lacking := sorted(found["missing_keys"]):
        raise ValueError(
            f"{folder}: there are no weights for {lacking[0]} of {type(inner).__name__}; random ones would stand in"
        )
    if tokenizer.eos_token_id is None:
        raise ValueError(f"{folder}: the tokenizer has no eos_token, so that no answer could end")
    vocabulary = Vocabulary(tokenizer, _before(tokenizer), _eos_ids(tokenizer, inner))
    model = Model(inner, _config(inner, folder))
    if vocabulary.size > model.config.vocabulary:
        raise ValueError(
            f"{folder}: the tokenizer has {vocabulary.size} tokens, the model {model.config.vocabulary}"
        )
    if not _agrees(model):
        raise ValueError(
            f"{folder}: {type(inner).__name__} scores tokens otherwise when it reads them piece by piece; only "
            "causal models whose logits are the head of the last states can stand in for ours"
        )
    return model, vocabulary


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without progress bars and log messages: what matters among them raises an error here."""
    logging = transformers.utils.logging
    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _transformers() -> Any:
    try:
        return import_module("transformers")
    except ModuleNotFoundError as e:
        raise ModuleNotFoundError(
            f"a Hugging Face model needs the package transformers ({e}): pip install 'paperlab[hf]'"
        ) from e


def _config(inner: Any, folder: Path) -> Config:
    """The shape of the model from its configuration, and that of its cache from a forward pass.

    Names of these sizes differ from model to model, and a cache need not have the shape that they suggest.
    """
    text = inner.config.get_text_config()
    context = getattr(text, "max_position_embeddings", None)
    if not isinstance(context, int):
        raise ValueError(f"{folder}: its config has no max_position_embeddings, the length of a context")
    caches = import_module("transformers.cache_utils")
    cache = caches.DynamicCache(config=text)
    name = _cache_name(inner)
    kinds: set[str] = set()
    if name:
        ids = torch.zeros(1, 1, dtype=torch.long, device="cpu")
        with torch.no_grad():
            inner.base_model(input_ids=ids, use_cache=True, **{name: cache})
        kinds = {type(layer).__name__ for layer in cache.layers}
    if kinds != {"DynamicLayer"}:
        found = ", ".join(sorted(kinds)) or "none"
        raise ValueError(
            f"{folder}: {type(inner).__name__} keeps no keys and values, or not those of all tokens (cache: {found}); "
            "only models of plain causal attention can stand in for ours"
        )
    shapes = {(side.shape[1], side.shape[3]) for layer in cache.layers for side in (layer.keys, layer.values)}
    if len(shapes) > 1:
        raise ValueError(f"{folder}: keys and values have several shapes, {sorted(shapes)}")
    [(kv_heads, head_dim)] = shapes
    rows = inner.get_input_embeddings().weight.shape[0]
    return Config(rows, context, len(cache.layers), kv_heads, head_dim)


def _cache_name(inner: Any) -> str:
    """What the model calls its cache, which transformers 5.24 renames; empty where it takes none."""
    names = inspect.signature(inner.base_model.forward).parameters
    return next((name for name in ("cache", "past_key_values") if name in names), "")


@torch.no_grad()
def _agrees(model: Model) -> bool:
    """Whether our way to the logits, in pieces and with padding, leads to transformers' own."""
    length = min(6, model.config.context - 1)
    ids = (torch.arange(length, device="cpu") * 7 + 3).remainder(model.config.vocabulary)[None]
    wanted = model.inner(input_ids=ids, use_cache=False).logits
    padded = torch.cat([ids, torch.cat([ids[:, :1], ids[:, :-1]], 1)])  # two rows, the second padded by one
    cache = model.empty_cache(2, length, torch.tensor([0, 1], device="cpu"))
    cuts = [0, length - 2, length - 1, length] if length > 3 else [0, length]
    pieces = [padded[:, a:b] for a, b in pairwise(cuts)]
    found = torch.cat([model(piece, cache) for piece in pieces], 1)
    slack = TOLERANCE * float(wanted.abs().max())
    return bool(
        (found[0] - wanted[0]).abs().max() <= slack and (found[1, 1:] - wanted[0, :-1]).abs().max() <= slack
    )


def _before(tokenizer: Any) -> tuple[int, ...]:
    """What the tokenizer puts before a text."""
    token = tokenizer.convert_ids_to_tokens(int(tokenizer.eos_token_id == 0))
    bare, whole = _encoded(tokenizer, token), [int(i) for i in tokenizer.encode(token)]
    for at in range(len(whole) - len(bare) + 1):
        if bare and whole[at : at + len(bare)] == bare:
            return tuple(whole[:at])
    return ()


def _eos_ids(tokenizer: Any, inner: Any) -> tuple[int, ...]:
    """The tokenizer's end, and those at which the model's own generation stops (`generation_config`).

    Only special tokens: an unedited configuration may have the id of a word there.
    """
    said = getattr(inner.generation_config, "eos_token_id", None)
    others = [] if said is None else said if isinstance(said, list) else [said]
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    own = int(tokenizer.eos_token_id)
    return own, *sorted((special & {int(i) for i in others}) - {own})


def _encoded(tokenizer: Any, text: str) -> list[int]:
    return [int(i) for i in tokenizer.encode(text, add_special_tokens=False)]


def _cached_class() -> Any:
    """transformers' view of a `Cache`: a function that makes one.

    A layer writes into memory that was allocated once; transformers' own would copy all of it for every token.
    """
    caches = import_module("transformers.cache_utils")

    base: Any = caches.CacheLayerMixin

    class Layer(base):  # type: ignore[misc]
        is_sliding = False

        def __init__(self, cache: Cache, number: int) -> None:
            super().__init__()
            self.cache, self.number = cache, number
            self.is_initialized = True

        def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
            pass

        def update(
            self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any
        ) -> tuple[Tensor, Tensor]:
            cache, last = self.cache, self.cache.length + key_states.shape[2]
            cache.keys[self.number, :, :, cache.length : last] = key_states
            cache.values[self.number, :, :, cache.length : last] = value_states
            return cache.keys[self.number, :, :, :last], cache.values[self.number, :, :, :last]

        def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
            return self.cache.length + query_length, 0

        def get_seq_length(self) -> int:
            return self.cache.length  # which `hidden` moves on once all layers are through

        def get_max_length(self) -> int:
            return -1

    def cached(cache: Cache) -> Any:
        return caches.Cache(layers=[Layer(cache, i) for i in range(len(cache.keys))])

    return cached
