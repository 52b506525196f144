"""Causal attention of short sequences, some of which go on from another one, and its gradient.

    S = Q·Kᵀ · scale + B,   P = softmax(S),   O = P·V
    dV = Pᵀ·dO,   dS = P ∘ (dO·Vᵀ − rowsum(P ∘ dO·Vᵀ)),   dQ = dS·K · scale,   dK = dSᵀ·Q · scale,   dB = dS

(Dao, arXiv:2307.08691, §2 and Algorithm 2, without its tiles of keys: all keys of a sequence fit into the cache.) B depends
on the head and on the distance from a query back to a key, as in ALiBi and T5; it may be nothing.

A tile is LANES queries, of all heads that share keys, by all keys that these may see. It is transposed, Sᵀ (keys, LANES): each
lane of a vector is a query, so that sums go lane by lane, and the products need nothing to be turned.
"""

from __future__ import annotations

import numpy as np
from numba import float32, int32

from ...compiled.exponential import exp2
from ...compiled.kernel import inlined, kernel
from ...compiled.vectors import COLUMNS as LANES
from ...compiled.vectors import LANES as VECTOR
from ...compiled.vectors import ROWS, VECTORS, fused, register_block, transpose

HALF = LANES // 2
STRIP = 64
"""Numbers of a tile, of one key or of several, that are gone through at once: loops over fewer do not become vectors."""
TALL = 2 * ROWS
"""Keys are filled up with zeros to a multiple of it."""
LOWEST = float32(-3.4028234663852886e38)
MASKED = float32(float("-inf"))
ZERO, ONE = float32(0.0), float32(1.0)
LOG2_E = 1.4426950408889634

_set = register_block(ROWS, VECTORS, accumulate=False)
_add = register_block(ROWS, VECTORS, accumulate=True)
_add_half = register_block(TALL, VECTORS // 2, accumulate=True)


@inlined
def _up(n, multiple):  # type: ignore[no-untyped-def]
    return (n + multiple - 1) // multiple * multiple


@inlined
def _wide(d):  # type: ignore[no-untyped-def]
    """The distance between rows in which there are zeros behind d numbers, as many as any product here reads or writes."""
    return max(_up(d, ROWS), _up(d, LANES))


@inlined
def _multiply(c, a, a_row, a_k, b, M, K):  # type: ignore[no-untyped-def]
    """C (M, LANES) = A (M, K) · B (K, LANES); rows are computed, and written, up to a multiple of ROWS."""
    for i in range(0, M, ROWS):
        to, rows = c.ctypes.data + 4 * i * LANES, a.ctypes.data + 4 * i * a_row
        _set(to, LANES, rows, a_row, a_k, b.ctypes.data, LANES, K)


@inlined
def _add_over_lanes(c, a, b, M, d):  # type: ignore[no-untyped-def]
    """C (M, ≥ d) += A (M, LANES) · B (LANES, ≥ d); M is a multiple of TALL, and d is filled up to one of HALF."""
    n, wide = 0, c.shape[1]
    while n + HALF < d:
        for i in range(0, M, ROWS):
            at = c.ctypes.data + 4 * (i * wide + n)
            _add(at, wide, a.ctypes.data + 4 * i * LANES, LANES, 1, b.ctypes.data + 4 * n, wide, LANES)
        n += LANES
    if n < d:
        for i in range(0, M, TALL):
            at = c.ctypes.data + 4 * (i * wide + n)
            _add_half(at, wide, a.ctypes.data + 4 * i * LANES, LANES, 1, b.ctypes.data + 4 * n, wide, LANES)


@inlined
def _gather(K, V, qkv, first, count, at, key, value):  # type: ignore[no-untyped-def]
    """Rows `at` on of K and V become those of `count` tokens from `first` on, of the heads `key` and `value` of qkv."""
    for i in range(count):
        for c in range(qkv.shape[2]):
            K[at + i, c] = qkv[first + i, key, c]
        for c in range(qkv.shape[2]):
            V[at + i, c] = qkv[first + i, value, c]


@inlined
def _into_lanes(X, rows, x, first, r0, count, group, head):  # type: ignore[no-untyped-def]
    """X (d, LANES) and rows (LANES, ≥ d): queries r0 … r0 + count − 1 of x (tokens, heads, d), 0 beyond.

    Query r is that of token r // group and of head r % group from `head` on.
    """
    d, wide = x.shape[2], rows.shape[1]
    for l in range(LANES):  # noqa: E741
        if l < count:
            token, of = first + (r0 + l) // group, head + (r0 + l) % group
            for c in range(d):
                rows[l, c] = x[token, of, c]
        else:
            for c in range(d):
                rows[l, c] = ZERO
    for l in range(0, LANES, VECTOR):  # noqa: E741
        for c in range(0, d, VECTOR):
            to, source = X.ctypes.data + 4 * (c * LANES + l), rows.ctypes.data + 4 * (l * wide + c)
            transpose(to, LANES, source, wide)


@inlined
def _out_of_lanes(x, first, r0, count, group, head, X, rows, scale):  # type: ignore[no-untyped-def]
    """The reverse, times `scale`."""
    d, wide = x.shape[2], rows.shape[1]
    for l in range(0, LANES, VECTOR):  # noqa: E741
        for c in range(0, d, VECTOR):
            to, source = rows.ctypes.data + 4 * (l * wide + c), X.ctypes.data + 4 * (c * LANES + l)
            transpose(to, wide, source, LANES)
    for l in range(count):  # noqa: E741
        token, of = first + (r0 + l) // group, head + (r0 + l) % group
        for c in range(d):
            x[token, of, c] = rows[l, c] * scale


@inlined
def _longest(first, beginning):  # type: ignore[no-untyped-def]
    """The most keys of a sequence, beginning included."""
    most = 0
    for s in range(beginning.size):
        before = beginning[s]
        keys = first[s + 1] - first[s]
        keys += first[before + 1] - first[before] if before >= 0 else 0
        most = max(most, keys)
    return most


@inlined
def _last_keys(last, before, r0, count, group):  # type: ignore[no-untyped-def]
    """The last key that each lane's query sees; those beyond `count` as the last of them. (The first's, the last's)"""
    for l in range(LANES):  # noqa: E741
        last[l] = int32(before + (r0 + min(l, count - 1)) // group)
    return last[0], last[LANES - 1]


@inlined
def _by_lane(bias, kv_heads, group, unscaled):  # type: ignore[no-untyped-def]
    """What is added to the scores of LANES queries at a time, divided by their scale: (kv_heads, rows, LANES).

    Row x is of the key that lies x − LANES tokens before the first query; a lane's query is that of token l // group and of
    head l % group, so that its distance is l // group more. It is 0 where the query does not see the key.
    """
    distances = bias.shape[1]
    rows = np.zeros((kv_heads, distances + LANES if distances else 0, LANES), np.float32)
    for h in range(kv_heads):
        for x in range(rows.shape[1]):
            for l in range(LANES):  # noqa: E741
                distance = x - LANES + l // group
                if 0 <= distance < distances:
                    rows[h, x, l] = bias[h * group + l % group, distance] * unscaled
    return rows


@inlined
def _add_bias(S, by_lane, h, nearest, keys):  # type: ignore[no-untyped-def]
    """S (keys, LANES) += B, where the first query stands beside the key `nearest`."""
    if by_lane.shape[1]:
        for j in range(keys):
            at = nearest - j + LANES
            for l in range(LANES):  # noqa: E741
                S[j, l] += by_lane[h, at, l]


@inlined
def _add_bias_gradient(d_by_lane, h, dS, nearest, keys):  # type: ignore[no-untyped-def]
    """The gradient by the rows of `_by_lane`, but for the scale."""
    if d_by_lane.shape[1]:
        for j in range(keys):
            at = nearest - j + LANES
            for l in range(LANES):  # noqa: E741
                d_by_lane[h, at, l] += dS[j, l]


@inlined
def _add_by_distance(d_bias, d_by_lane, group):  # type: ignore[no-untyped-def]
    """d_bias (heads, distances) += what `_add_bias_gradient` has summed up."""
    for h in range(d_by_lane.shape[0]):
        for x in range(d_by_lane.shape[1]):
            for l in range(LANES):  # noqa: E741
                distance = x - LANES + l // group
                if 0 <= distance < d_bias.shape[1]:
                    d_bias[h * group + l % group, distance] += d_by_lane[h, x, l]


@kernel
def attend(qkv, first, beginning, heads, kv_heads, scale, bias, o, lse):  # type: ignore[no-untyped-def]
    """O of all sequences.

    Args:
        qkv: (tokens, (heads + 2 · kv_heads) · d): queries, keys and values of each, with positions in them.
        first: (sequences + 1,) int64: sequence s is the tokens first[s] … first[s + 1] − 1, at least one.
        beginning: (sequences,) int64: the sequence that s goes on from, one before s that itself goes on from none; or −1.
        scale: of the scores, above 0.
        bias: (heads, distances), added to the scores at distances 0, 1, … from a query back to a key; (0, 0): nothing is.
            With it, LANES is a multiple of heads / kv_heads.
        o: (tokens, heads · d), written.
        lse: (tokens, heads), written: log₂ Σ 2^(S · log₂e).
    """
    tokens, d, group = qkv.shape[0], qkv.shape[1] // (heads + 2 * kv_heads), heads // kv_heads
    qkv, o = qkv.reshape(tokens, -1, d), o.reshape(tokens, heads, d)
    keys, wide = _up(_longest(first, beginning), TALL), _wide(d)
    K, V = np.zeros((keys, wide), np.float32), np.zeros((keys, wide), np.float32)
    S, Qt = np.zeros((keys, LANES), np.float32), np.zeros((wide + LANES, LANES), np.float32)
    Ot, rows = np.zeros((wide + LANES, LANES), np.float32), np.zeros((LANES, wide), np.float32)
    m, total, last = np.empty(STRIP, np.float32), np.empty(STRIP, np.float32), np.empty(LANES, np.int32)
    unit = float32(scale * LOG2_E)
    by_lane = _by_lane(bias, kv_heads, group, float32(1 / scale))
    for s in range(beginning.size):
        t0, n, b = first[s], first[s + 1] - first[s], beginning[s]
        before = first[b + 1] - first[b] if b >= 0 else 0
        for h in range(kv_heads):
            key, value, query = heads + h, heads + kv_heads + h, h * group
            if b >= 0:
                _gather(K, V, qkv, first[b], before, 0, key, value)
            _gather(K, V, qkv, t0, n, before, key, value)
            for r0 in range(0, n * group, LANES):
                count = min(LANES, n * group - r0)
                least, most = _last_keys(last, before, r0, count, group)
                _into_lanes(Qt, rows, qkv, t0, r0, count, group, query)
                _multiply(S, K, wide, 1, Qt, most + 1, d)
                _add_bias(S, by_lane, h, before + r0 // group, most + 1)
                _mask(S, last, least, most)
                _softmax(S, _up(most + 1, TALL), unit, m, total)
                _multiply(Ot, V, 1, wide, S, d, most + 1)
                for l in range(count):  # noqa: E741
                    r = r0 + l
                    lse[t0 + r // group, h * group + r % group] = m[l] * unit + np.log2(total[l])
                for l in range(LANES):  # noqa: E741
                    total[l] = ONE / total[l]
                for c in range(d):
                    for l in range(LANES):  # noqa: E741
                        Ot[c, l] *= total[l]
                _out_of_lanes(o, t0, r0, count, group, query, Ot, rows, ONE)


@inlined
def _mask(S, last, least, most):  # type: ignore[no-untyped-def]
    """−∞ for the keys that a lane does not see, up to a multiple of TALL."""
    for j in range(least + 1, most + 1):
        for l in range(LANES):  # noqa: E741
            S[j, l] = MASKED if int32(j) > last[l] else S[j, l]
    for j in range(most + 1, _up(most + 1, TALL)):
        for l in range(LANES):  # noqa: E741
            S[j, l] = MASKED


@inlined
def _softmax(S, keys, unit, m, total):  # type: ignore[no-untyped-def]
    """S becomes 2^((S − m) · unit), m the maximum of each lane over the keys, and `total` the sum."""
    strips = S.reshape(-1, STRIP)
    for x in range(STRIP):
        m[x] = LOWEST
        total[x] = ZERO
    for k in range(keys * LANES // STRIP):
        for x in range(STRIP):
            m[x] = strips[k, x] if strips[k, x] > m[x] else m[x]
    for x in range(LANES, STRIP):
        m[x % LANES] = m[x] if m[x] > m[x % LANES] else m[x % LANES]
    for x in range(LANES, STRIP):
        m[x] = m[x % LANES]
    for k in range(keys * LANES // STRIP):
        for x in range(STRIP):
            p = exp2((strips[k, x] - m[x]) * unit)
            strips[k, x] = p
            total[x] += p
    for x in range(LANES, STRIP):
        total[x % LANES] += total[x]


@kernel
def attend_backward(d_o, qkv, first, beginning, heads, kv_heads, scale, bias, lse, d_qkv, d_bias):  # type: ignore[no-untyped-def]
    """The gradient by queries, keys and values, and by what is added to the scores.

    Args: as of `attend`, with what it has written in `lse`.
        d_o: (tokens, heads · d).
        d_qkv: like qkv, written. d_bias: like bias; added to it.
    """
    tokens, d, group = qkv.shape[0], qkv.shape[1] // (heads + 2 * kv_heads), heads // kv_heads
    qkv, d_qkv = qkv.reshape(tokens, -1, d), d_qkv.reshape(tokens, -1, d)
    d_o = d_o.reshape(tokens, heads, d)
    keys, wide = _up(_longest(first, beginning), TALL), _wide(d)
    K, V = np.zeros((keys, wide), np.float32), np.zeros((keys, wide), np.float32)
    dK, dV = np.zeros((keys, wide), np.float32), np.zeros((keys, wide), np.float32)
    P, dS = np.zeros((keys, LANES), np.float32), np.zeros((keys, LANES), np.float32)
    Qt, Q = np.zeros((wide + LANES, LANES), np.float32), np.zeros((LANES, wide), np.float32)
    dOt, dO = np.zeros((wide + LANES, LANES), np.float32), np.zeros((LANES, wide), np.float32)
    dQt, rows = np.zeros((wide + LANES, LANES), np.float32), np.zeros((LANES, wide), np.float32)
    L, D, last = np.empty(STRIP, np.float32), np.empty(STRIP, np.float32), np.empty(LANES, np.int32)
    by_lane = _by_lane(bias, kv_heads, group, float32(1 / scale))
    d_by_lane = np.zeros_like(by_lane)
    unit, scale = float32(scale * LOG2_E), float32(scale)
    for s in range(beginning.size):
        t0, n, b = first[s], first[s + 1] - first[s], beginning[s]
        before = first[b + 1] - first[b] if b >= 0 else 0
        for h in range(kv_heads):
            key, value, query = heads + h, heads + kv_heads + h, h * group
            if b >= 0:
                _gather(K, V, qkv, first[b], before, 0, key, value)
            _gather(K, V, qkv, t0, n, before, key, value)
            dK[: before + n] = ZERO
            dV[: before + n] = ZERO
            for r0 in range(0, n * group, LANES):
                count = min(LANES, n * group - r0)
                least, most = _last_keys(last, before, r0, count, group)
                _into_lanes(Qt, Q, qkv, t0, r0, count, group, query)
                _into_lanes(dOt, dO, d_o, t0, r0, count, group, query)
                for x in range(STRIP):
                    r = r0 + min(x % LANES, count - 1)
                    L[x] = lse[t0 + r // group, h * group + r % group]
                _multiply(P, K, wide, 1, Qt, most + 1, d)
                _multiply(dS, V, wide, 1, dOt, most + 1, d)
                _add_bias(P, by_lane, h, before + r0 // group, most + 1)
                _mask(P, last, least, most)
                _score_gradients(P, dS, _up(most + 1, TALL), unit, L, D)
                _add_bias_gradient(d_by_lane, h, dS, before + r0 // group, most + 1)
                _add_over_lanes(dV, P, dO, _up(most + 1, TALL), d)
                _add_over_lanes(dK, dS, Q, _up(most + 1, TALL), d)
                _multiply(dQt, K, 1, wide, dS, d, most + 1)
                _out_of_lanes(d_qkv, t0, r0, count, group, query, dQt, rows, scale)
            for i in range(before):
                for c in range(d):
                    d_qkv[first[b] + i, key, c] += dK[i, c] * scale
                for c in range(d):
                    d_qkv[first[b] + i, value, c] += dV[i, c]
            for i in range(n):
                for c in range(d):
                    d_qkv[t0 + i, key, c] = dK[before + i, c] * scale
                for c in range(d):
                    d_qkv[t0 + i, value, c] = dV[before + i, c]
    _add_by_distance(d_bias, d_by_lane, group)


@inlined
def _score_gradients(P, dS, keys, unit, L, D):  # type: ignore[no-untyped-def]
    """From scores and dO·Vᵀ, which is in dS, to P and dS, which lacks the scale; D is of the size of a strip."""
    of_p, of_s = P.reshape(-1, STRIP), dS.reshape(-1, STRIP)
    for x in range(STRIP):
        D[x] = ZERO
    for k in range(keys * LANES // STRIP):
        for x in range(STRIP):
            p = exp2(fused(of_p[k, x], unit, -L[x]))
            of_p[k, x] = p
            D[x] += p * of_s[k, x]
    for x in range(LANES, STRIP):
        D[x % LANES] += D[x]
    for x in range(LANES, STRIP):
        D[x] = D[x % LANES]
    for k in range(keys * LANES // STRIP):
        for x in range(STRIP):
            of_s[k, x] = of_p[k, x] * (of_s[k, x] - D[x])
