"""The work of one call, and what its algorithm moves and computes: counted, not timed."""

from __future__ import annotations

from . import from_params
from .arguments import Options
from .band import Band, band_of
from .flash.tiles import computed_scores
from .memory_traffic import Algorithm, traffic
from .params import Params

ALGORITHMS: dict[str, Algorithm] = {
    "standard": "standard",
    "flash": "flash",
    "flash-numba": "flash",
    "flash-triton": "flash",
    "sdpa": "flash",
}
"""The algorithm whose traffic a backend is taken to have, for its place under a roofline."""
ITEMSIZE = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}


def least_work(name: str, params: Params) -> dict[str, float]:
    """The least that one call has to do, and `intensity`, what its algorithm does of it for each byte that it moves.

    4·d operations for each head and each pair of a query and a key that it may attend to (about half of all pairs when
    causal, fewer in a window), and 2.5 times as much again for the backward pass (FlashAttention-2, arXiv:2307.08691,
    §4.1); reading q, k, v and writing O once.
    """
    kv_heads, keys = params.kv_heads or params.heads, params.keys or params.seq_len
    parts = [(n, n) for n in from_params.lengths(params)] if params.sequences else [(params.seq_len, keys)]
    pairs = sum(_pairs(params, *part) for part in parts)
    passes = 3.5 if params.direction == "fwd+bwd" else 1.0
    operations = 4.0 * params.batch * params.heads * params.head_dim * passes
    of_q = params.heads * params.seq_len * params.head_dim
    of_k = kv_heads * keys * params.head_dim
    numbers = params.batch * (2 * of_q + 2 * of_k)
    if params.direction == "fwd+bwd":
        numbers *= 3  # q, k, v, O and dO are read, dQ, dK and dV written; nearly
    work = {"operations": operations * pairs, "bytes": float(numbers * ITEMSIZE[params.dtype])}
    moved = _moved(name, params)
    if moved is not None:
        # Masked tiles are neither computed nor moved; standard attention moves all and uses half.
        useful = pairs if ALGORITHMS[name] == "standard" else params.seq_len * keys
        work["intensity"] = operations * useful / moved
    return work


def counted(name: str, params: Params) -> dict[str, float]:
    """Gigabytes between slow and fast memory, and scores computed, by walking the algorithm's tiles.

    `paper_traffic` is that of FlashAttention's Figure 2 (arXiv:2205.14135), without masks and dropout. The paper prints
    40.3 and 4.4 GB there and says neither with how much fast memory, nor that they come of its algorithms.
    """
    if name not in ("standard", "flash"):
        return {}
    algorithm = ALGORITHMS[name]
    N, keys, kv_heads = params.seq_len, params.keys or params.seq_len, params.kv_heads or params.heads
    scores = N * keys
    if algorithm == "flash":
        groups, parts = params.heads // kv_heads, [(N, keys)]
        if params.sequences and not params.as_mask:
            parts = [(n, n) for n in from_params.lengths(params)]
        scores = sum(
            computed_scores(*part, band_of_params(params, *part), groups=groups, kv_heads=kv_heads)
            for part in parts
        )
    of_paper = traffic(
        algorithm, 1024, 64, onchip_bytes=params.onchip_bytes, itemsize=2, direction="fwd+bwd", heads=64 * 16
    )
    found = {"computed_scores": scores / (N * keys), "paper_traffic": of_paper / 1e9}
    moved = _moved(name, params)
    return found if moved is None else found | {"traffic": moved / 1e9}


def band_of_params(params: Params, queries: int, keys: int) -> Band:
    """The band of causal order and window that `params` describe."""
    window = (
        None if params.window_part is None else ((params.keys or params.seq_len) // params.window_part, 0)
    )
    return band_of(queries, keys, Options(params.causal, 1.0, window_size=window))


def _moved(name: str, params: Params) -> int | None:
    """Bytes that the algorithm of a backend moves; the walks know queries and keys of one number and heads alone."""
    alike = params.keys in (None, params.seq_len) and params.kv_heads in (None, params.heads)
    if name not in ALGORITHMS or not alike or params.window_part or params.sequences:
        return None
    return traffic(
        ALGORITHMS[name],
        params.seq_len,
        params.head_dim,
        onchip_bytes=params.onchip_bytes,
        itemsize=ITEMSIZE[params.dtype],
        direction=params.direction,
        heads=params.batch * params.heads,
    )


def _pairs(params: Params, queries: int, keys: int) -> int:
    """How many pairs of a query and a key are inside the band."""
    band = band_of_params(params, queries, keys)
    return sum(len(band.keys(i, i + 1, keys)) for i in band.queries(queries, keys))
