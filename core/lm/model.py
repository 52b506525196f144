"""A decoder-only transformer: RMSNorm, positions by any encoding, grouped heads, SwiGLU, our `attention` underneath.

    x ← x + Attention(RMSNorm(x));  x ← x + SwiGLU(RMSNorm(x));  logits = W · RMSNorm(x)

Zhang & Sennrich, RMSNorm (arXiv:1910.07467); Ainslie et al., GQA (arXiv:2305.13245); Shazeer, GLU
variants (arXiv:2002.05202). Positions: `core/position`, rotary unless asked otherwise. W is not the embedding: reward that pushes one token down would move them all.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..addresses import are_functional, have_addresses, have_tangents
from ..attention import attention
from ..compiled.vectors import COLUMNS
from ..position import Encoding, Sizes
from ..position import encoding as named
from ..position.rotary import rotated
from .blocks import Shape, Weights, states
from .cache import Cache, Shared, empty
from .compiled_or_torch import compiled
from .operations import RMSNorm, swiglu
from .packed import Packed, rectangle
from .products import Linear


@dataclass(frozen=True)
class Config:
    """The shape of a model.

    Attributes:
        vocabulary: how many tokens there are.
        context: the longest sequence, prompt and completion together.
        kv_heads: divides `heads`; as many as `heads` is ordinary attention, 1 is multi-query.
        d_ff: width of the gated layer.
        position: the encoding of positions, a name in `lab.core.position.ENCODINGS`.
        rope_theta: the base of its frequencies, where it has some.
        trained: the longest sequence of training, where it is shorter than the context; some encodings go by it.
        backend: of `lab.core.attention`: "auto", "short", "sdpa", "flash", "standard".
    Raises ValueError: the sizes do not fit together.
    """

    vocabulary: int
    context: int
    d_model: int = 64
    layers: int = 2
    heads: int = 4
    kv_heads: int = 2
    d_ff: int = 192
    position: str = "rope"
    rope_theta: float = 10_000.0
    trained: int | None = None
    backend: str = "auto"

    def __post_init__(self) -> None:
        if self.d_model % self.heads:
            raise ValueError(f"d_model {self.d_model} must be a multiple of heads, {self.heads}")
        if self.heads % self.kv_heads:
            raise ValueError(f"heads {self.heads} must be a multiple of kv_heads, {self.kv_heads}")

    @property
    def head_dim(self) -> int:
        return self.d_model // self.heads

    @property
    def sizes(self) -> Sizes:
        """Those that an encoding of positions goes by."""
        return Sizes(self.d_model, self.heads, self.context, self.trained, self.rope_theta)


class Transformer(nn.Module):
    """Token ids (batch, length) to logits (batch, length, vocabulary).

    Args:
        encoding: of positions, in place of the one that the configuration names.
    Raises ValueError: no such encoding, or one of a grid.
    """

    rotations: Tensor
    encoding: Encoding

    def __init__(self, config: Config, encoding: Encoding | None = None) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.d_model)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.d_model)
        self.head = Linear(config.d_model, config.vocabulary, bias=False)
        self.apply(_initialise)
        with torch.no_grad():
            # What is added to the residual stream, layer by layer, keeps its size.
            for block in self._blocks():
                for last in (block.project.weight, block.down.weight):
                    last.div_(math.sqrt(2 * config.layers))
        # Last, so that other weights are the same whether it draws some or not.
        self.set_encoding(named(config.position, config.sizes) if encoding is None else encoding)

    def set_encoding(self, encoding: Encoding) -> None:
        """Tell positions by another encoding from now on; what the old one has learned is dropped.

        Raises ValueError: it tells places on a grid.
        """
        if encoding.axes != 1:
            raise ValueError("this encoding of positions tells places on a grid; a text has one axis")
        self.encoding = encoding
        parts = {"added": encoding.added, "rotation": encoding.rotation, "bias": encoding.bias}
        self.position = nn.ModuleDict({k: part for k, part in parts.items() if isinstance(part, nn.Module)})
        self.position.to(self.embedding.weight.device)
        turns = torch.ones(
            self.config.context, self.config.head_dim // 2, dtype=torch.complex64, device="cpu"
        )
        if encoding.rotation is not None:
            with torch.no_grad():
                turns = encoding.rotation(torch.arange(self.config.context, device="cpu"))
        turns = turns.unsqueeze(1).to(self.embedding.weight.device)
        self.register_buffer("rotations", turns, persistent=False)

    def hidden(self, ids: Tensor, cache: Cache | Shared | None = None) -> Tensor:
        """The normed states (batch, length, d_model) that logits are made of.

        Args:
            ids: (batch, length) of tokens that follow what is in the cache.
            cache: keys and values of earlier tokens; these are added to it.
        Raises ValueError: more tokens than the context holds.
        """
        first = 0 if cache is None else cache.length
        last = first + ids.shape[1]
        self._check_length(last)
        if cache is None and ids.numel() and self.by_kernels(ids):
            places = rectangle(*ids.shape)
            if self.encoding.places is not None:
                positions = self.positions(ids).flatten().to(torch.int32)
                places = replace(places, positions=positions)
            return self.packed_states(ids.flatten(), places).view(*ids.shape, -1)
        encoding, x = self.encoding, self.embedding(ids)
        positions = self.positions(ids) if cache is None else cache.positions(ids)
        if encoding.added is not None:
            x = x + encoding.added(positions).to(x.dtype)
        rotation = None if encoding.rotation is None else self.rotations[first:last]
        if encoding.rotation is not None and (encoding.places is not None or "rotation" in self.position):
            rotation = encoding.rotation(positions).unsqueeze(-2)
        mask = None if cache is None else cache.mask(ids.shape[1])
        slopes = encoding.slopes if mask is None else None
        by_distance = None if slopes is not None else self.scores_by_distance(last)
        if by_distance is not None:
            mask = biased(by_distance, ids.shape[1], mask)
        for layer, block in enumerate(self._blocks()):
            x = block(x, rotation, mask, cache, layer, None if slopes is None else slopes.to(x.device))
        if cache is not None:
            cache.length = last
        hidden: Tensor = self.norm(x)
        return hidden

    def positions(self, ids: Tensor) -> Tensor:
        """Of whole sequences ids (batch, length): (length,), or (batch, length) where the encoding says its own.

        Where gradients are on, it may draw them: that is how training is told from the rest.
        """
        if self.encoding.places is None:
            return torch.arange(ids.shape[1], device=ids.device)
        return self.encoding.places(ids, torch.is_grad_enabled())

    def scores_by_distance(self, length: int) -> Tensor | None:
        """What is added to the scores at distances 0 … length − 1, (heads, length); None: nothing is."""
        return self.encoding.scores_by_distance(torch.arange(length, device=self.embedding.weight.device))

    def by_kernels(self, ids: Tensor) -> bool:
        """Whether our kernels compute its states and log-probabilities, by `packed_states`."""
        return self.may_be_compiled(self.embedding) and have_addresses(ids)

    def may_be_compiled(self, *called: nn.Module) -> bool:
        """Whether our kernels may stand for its operations; not where someone has asked for a backend of attention.

        They call neither hooks of the modules inside it, but for those that are `called` beside them, nor a method or a
        module that somebody has put in the place of ours.
        """
        weights = list(self.parameters())
        return (
            type(self) is Transformer
            and self.config.backend == "auto"
            and _kernels_have(self.encoding, self.config)
            and compiled(*weights)
            and have_addresses(*weights)
            and not are_functional(*weights)
            and not have_tangents(*weights)
            and not vars(self).keys() & {"hidden", "logits"}
            and not any(
                _is_changed(module)
                for module in self.modules()
                if module is not self and module not in (*called, *self.position.modules())
            )
        )

    @property
    def has_plain_logits(self) -> bool:
        """Whether logits are the product with `head.weight` and nothing besides."""
        return type(self) is Transformer and "logits" not in vars(self) and not _is_changed(self.head)

    def packed_states(self, ids: Tensor, places: Packed) -> Tensor:
        """The normed states (tokens, d_model) of packed sequences, ids (tokens,), where `by_kernels`.

        Raises ValueError: a sequence longer than the context.
        """
        self._check_length(places.longest)
        config = self.config
        shape = Shape(config.d_model, config.heads, config.kv_heads, config.d_ff)
        turns = None if self.encoding.rotation is None else torch.view_as_real(self.rotations).squeeze(1)
        blocks = [block.weights for block in self._blocks()]
        x = self.embedding(ids)
        if self.encoding.added is not None:
            x = x + self.encoding.added(places.positions)
        by_distance = self.scores_by_distance(places.longest)
        return states(x, blocks, self.norm.weight, turns, shape, places, by_distance)

    def _check_length(self, length: int) -> None:
        if length > self.config.context:
            raise ValueError(f"{length} tokens do not fit into a context of {self.config.context}")

    def _blocks(self) -> list[Block]:
        return list(self.blocks)  # type: ignore[arg-type]

    def logits(self, hidden: Tensor) -> Tensor:
        """(…, d_model) to (…, vocabulary)."""
        logits: Tensor = self.head(hidden)
        return logits

    def forward(self, ids: Tensor, cache: Cache | None = None) -> Tensor:
        return self.logits(self.hidden(ids, cache))

    def empty_cache(self, rows: int, length: int, starts: Tensor | None = None) -> Cache:
        """Room for `length` tokens of `rows` sequences; `starts` (rows,): the first column that is no padding.

        Raises ValueError: positions depend on the whole text, so that nothing can be generated.
        """
        config = self.config
        if self.encoding.places is not None:
            raise ValueError(
                f"position {config.position}: a token's position depends on the whole text, so none can be generated"
            )
        shape = (config.layers, rows, config.kv_heads, length, config.head_dim)
        return empty(shape, self.embedding.weight, starts)

    @property
    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())

    def flops_per_token(self) -> int:
        """Floating-point operations of the forward pass for one token, without attention's own products."""
        matrices = (
            p.numel()
            for name, p in self.named_parameters()
            if p.dim() == 2 and name != "embedding.weight" and not name.startswith("position.")
        )
        return 2 * sum(matrices)

    def state(self) -> dict[str, Any]:
        """What `restored` needs to make this model again."""
        return {"config": asdict(self.config), "weights": self.state_dict()}


def restored(state: dict[str, Any], encoding: Encoding | None = None) -> Transformer:
    """The model of a `state`; `encoding`, where it was made with one that its configuration does not name."""
    model = Transformer(Config(**state["config"]), encoding)
    model.load_state_dict(state["weights"])
    return model


class Block(nn.Module):
    """Attention, then the gated layer, each on the normed stream and added to it."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        d, width = config.d_model, config.head_dim
        self.heads, self.kv_heads, self.backend = config.heads, config.kv_heads, config.backend
        self.before_attention, self.before_gate = RMSNorm(d), RMSNorm(d)
        self.qkv = Linear(d, (config.heads + 2 * config.kv_heads) * width, bias=False)
        self.project = Linear(d, d, bias=False)
        self.gate_up = Linear(d, 2 * config.d_ff, bias=False)
        self.down = Linear(config.d_ff, d, bias=False)

    @property
    def weights(self) -> Weights:
        norm, gate_norm = self.before_attention.weight, self.before_gate.weight
        matrices = self.qkv.weight, self.project.weight, gate_norm, self.gate_up.weight, self.down.weight
        return Weights(norm, *matrices)

    def forward(
        self,
        x: Tensor,
        rotation: Tensor | None,
        mask: Tensor | None,
        cache: Cache | Shared | None,
        layer: int,
        slopes: Tensor | None = None,
    ) -> Tensor:
        x = x + self._attend(self.before_attention(x), rotation, mask, cache, layer, slopes)
        added: Tensor = self.down(swiglu(self.gate_up(self.before_gate(x))))
        return x + added

    def _attend(
        self,
        x: Tensor,
        rotation: Tensor | None,
        mask: Tensor | None,
        cache: Cache | Shared | None,
        layer: int,
        slopes: Tensor | None,
    ) -> Tensor:
        batch, length, d = x.shape
        heads = self.qkv(x).view(batch, length, self.heads + 2 * self.kv_heads, -1)
        # Queries and keys are turned together, in one operation.
        both = heads[:, :, : self.heads + self.kv_heads]
        turned = (both if rotation is None else rotated(both, rotation)).transpose(1, 2)
        q, k = turned[:, : self.heads], turned[:, self.heads :]
        v = heads[:, :, self.heads + self.kv_heads :].transpose(1, 2)
        if cache is not None:
            k, v = cache.extended(layer, k, v)
        # One token after a cache may see all of it: nothing is left for `causal` to hide.
        causal = length > 1 and mask is None
        o = attention(q, k, v, causal=causal, attn_mask=mask, alibi_slopes=slopes, backend=self.backend)
        attended: Tensor = self.project(o.transpose(1, 2).reshape(batch, length, d))
        return attended


def biased(by_distance: Tensor, queries: int, mask: Tensor | None) -> Tensor:
    """The attention mask of the last queries of a text, what is added to their scores: (1 or rows, heads, queries, keys).

    Args:
        by_distance: (heads, keys), at distances 0, 1, … from a query back to a key.
        mask: (rows, 1, queries, keys), True: may attend; None: all keys up to the query's own.
    """
    keys = by_distance.shape[1]
    column = torch.arange(keys, device=by_distance.device)
    distance = column[keys - queries :, None] - column
    found = by_distance[:, distance.clamp(min=0)].masked_fill(distance < 0, -math.inf)[None]
    return found if mask is None else found.masked_fill(~mask, -math.inf)


def _kernels_have(encoding: Encoding, config: Config) -> bool:
    """Rotations that are learned have no gradient there; what is added to scores is laid out by groups of heads."""
    group = config.heads // config.kv_heads
    return (
        config.head_dim % 2 == 0
        and not isinstance(encoding.rotation, nn.Module)
        and (encoding.slopes is None and encoding.bias is None or COLUMNS % group == 0)
    )


def _is_changed(module: nn.Module) -> bool:
    """Whether to call it does something besides, or instead of, what its class says."""
    hooks = (
        module._forward_pre_hooks,
        module._forward_hooks,
        module._backward_pre_hooks,
        module._backward_hooks,
    )
    return type(module) not in _OURS or any(hooks) or "forward" in vars(module)


_OURS = Block, RMSNorm, Linear, nn.Embedding, nn.ModuleList


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(
            module.weight, std=0.02 if isinstance(module, nn.Embedding) else module.weight.shape[1] ** -0.5
        )
