"""What an experiment about attention may vary. Importing this costs no torch."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from ..trial import Params as AnyParams


class Params(AnyParams):
    """The parameters of an attention experiment."""

    implementation: str = ""
    """A backend's name ("standard", "flash", "sdpa") or yours as "./file.py:function", called as
    f(q, k, v, causal=…, scale=…). Empty: the variant's own name."""
    direction: Literal["fwd", "fwd+bwd"] = "fwd"
    """What one call does: the output, or the output and the gradients of q, k and v. `--pass` on the command line."""
    batch: int = Field(1, ge=1)
    """Sequences that attend to themselves only."""
    heads: int = Field(4, ge=1)
    """Heads of q; of k and v too, unless `kv_heads` says otherwise."""
    kv_heads: int | None = Field(None, ge=1)
    """Heads of k and v; as many as `heads` where it is left out."""
    seq_len: int = Field(1024, ge=1)
    """Length of q."""
    keys: int | None = Field(None, ge=1)
    """Length of k and v; `seq_len` where it is left out."""
    head_dim: int = Field(64, ge=1)
    """Width of a head of q, k and v."""
    causal: bool = False
    """Whether a query sees only keys up to its own place, counted from the last query and the last key
    (bottom right)."""
    dtype: Literal["float16", "bfloat16", "float32", "float64"] = "float32"
    """Of q, k, v and the output."""
    products: Literal["pytorch", "onednn"] = "pytorch"
    """What multiplies float32 in PyTorch's operations on a CPU: what PyTorch calls by itself, or oneDNN, which is in the same
    wheel, where it rounds no operand. Backends with kernels of their own, and SDPA, stay as they are."""
    window_part: int | None = Field(None, ge=1)
    """The window of a query: its own key and this part of the keys before it; 16 is a window of a sixteenth."""
    softcap: float | None = Field(None, gt=0)
    """c: each score s becomes c·tanh(s / c); left out, scores are as they are."""
    sink: bool = False
    """One more logit for each head, which has no value vector."""
    alibi: bool = False
    """Whether scores fall with the distance of query and key, by a slope for each head."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """The share of probabilities that are dropped, the same ones in every implementation."""
    mask: Literal["", "boolean", "additive"] = ""
    """One that shows a query three keys in four: none, boolean (True = may attend), or additive with −∞ at the others."""
    lse: bool = False
    """Whether the log-sum-exp is computed too."""
    sequences: int | None = Field(None, ge=1)
    """Number of sequences of uneven length, packed one after another in `seq_len`; one sequence where it is left out."""
    as_mask: bool = False
    """Give windows, ALiBi and packed sequences as a mask, made before the clock starts."""
    onchip_bytes: int = Field(128 * 1024, ge=1024)
    """The fast memory for which `traffic` and `paper_traffic` are counted. Nothing that is timed depends on it."""
    shapes: bool = True
    """Whether the check runs the small shapes; false for a backend that has run them under another name."""
    longest_backward: int | None = Field(None, ge=1)
    """Above this length there is no fwd+bwd, to save time."""

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.kv_heads is not None and self.heads % self.kv_heads:
            raise ValueError(f"heads, {self.heads}, must be a multiple of kv_heads, {self.kv_heads}")
        if self.sequences and self.keys not in (None, self.seq_len):
            raise ValueError("sequences are packed alike in q and k: leave keys out")
        if self.sequences and (self.batch > 1 or self.mask):
            raise ValueError("sequences are packed in one row and take the mask's place: no batch, no mask")
        return self
