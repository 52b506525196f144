"""Losses of whole distributions and their gradients, row by row, each row of logits read from memory once.

    z, t       the numbers that student's and teacher's logits lie in, flat
    z_at, t_at row r is z[z_at[r] : z_at[r] + V]; V is at least 1
    g, g_at    likewise where the gradient by z goes; of no size if none is wanted
    values     (rows,) float64, the loss at each row
    scale      1/T; logits are taken times it
    weight     of a row's loss in the gradient, which is that by z·scale times `weight`

With a = (z − max z)·scale and e = e^a of either side, q = e/Σe. A row waits in a core's cache, as its e do, and so each
exponential is computed once. Sums are float32 within a block, which is where lanes are, and float64 between blocks.

A loop that reads one array and writes another is never given the same memory for both: compilers make vectors of it on
condition that the two do not overlap, and else go number by number.
"""

from __future__ import annotations

import numpy as np
from numba import float32, float64, njit

from ....compiled.exponential import exp
from ....compiled.kernel import inlined, kernel
from ....compiled.logarithm import log
from ....compiled.vectors import bits_of_float, float_of_bits

FORWARD_KL, REVERSE_KL, JSD, SKEW, TVD = range(5)
BLOCK = 512
FLOOR = float32(-1e36)
"""Stands for a logarithm of 0, as in `slabs`."""
TINY = float32(1.1754943508222875e-38)
ZERO, HALF, ONE = float32(0), float32(0.5), float32(1)

# Sums may be reordered, which vectors need. NaN and ∞ are kept.
summed = njit(nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})


@kernel
def divergence(kind, share, z, z_at, t, t_at, g, g_at, values, V, scale, weight, first, last):
    """One of the divergences of `response`, of rows `first` to `last`; `share` is its β or λ.

    Returns: the first of them whose t is no distribution, −1 if there is none.
    """
    scale, share = float32(scale), float32(share)
    e_z, e_t = np.empty(V, np.float32), np.empty(V, np.float32)
    for r in range(first, last):
        z_r, t_r = z[z_at[r] : z_at[r] + V], t[t_at[r] : t_at[r] + V]
        g_r = g[g_at[r] : g_at[r] + V] if g.size else g
        m_z, m_t = largest(z_r), largest(t_r)
        d_z, d_t = exponentials(z_r, e_z, m_z, scale), exponentials(t_r, e_t, m_t, scale)
        if not d_t >= 1:  # the largest adds 1 to it
            return r
        c_z, c_t = float32(1 / d_z), float32(1 / d_t)
        if kind == FORWARD_KL:
            values[r] = expected(e_t, t_r, m_t, z_r, m_z, scale) / d_t + np.log(d_z / d_t)
            if g.size:
                difference(e_z, float32(weight / d_z), e_t, float32(weight / d_t), g_r)
        elif kind == REVERSE_KL:
            mean = expected(e_z, z_r, m_z, t_r, m_t, scale) / d_z
            values[r] = mean + np.log(d_t / d_z)
            if g.size:
                of_reverse_kl(e_z, z_r, m_z, t_r, m_t, scale, float32(mean), float32(weight / d_z), g_r)
        else:
            if kind == JSD:
                logs = float32(np.log(d_z)), float32(np.log(d_t))
                values[r], mean = of_jsd(e_z, e_t, z_r, m_z, t_r, m_t, scale, c_z, c_t, logs, share)
            elif kind == SKEW:
                log_d = float32(np.log(d_t))
                values[r], mean = of_skew(e_z, e_t, t_r, m_t, scale, c_z, c_t, log_d, share)
            else:
                values[r], mean = of_tvd(e_z, e_t, c_z, c_t)
            if g.size:
                difference(e_t, float32(weight), e_z, float32(weight * mean), g_r)
        if not d_z >= 1:  # whatever a logarithm of NaN has become
            values[r] = np.nan
    return -1


@kernel
def sparse_kl(z, z_at, ids, weights, g, g_at, values, V, scale, weight, first, last):
    """KL(w‖q) of rows `first` to `last` for a w that is 0 but at some tokens: Σ_k w_k·(log w_k − log q at ids_k).

    Args:
        ids, weights: (rows, k), int64 and float32; the weights of a row sum to 1, and a token may come again.
    """
    scale = float32(scale)
    e = np.empty(V, np.float32)
    for r in range(first, last):
        z_r = z[z_at[r] : z_at[r] + V]
        m = largest(z_r)
        d = exponentials(z_r, e, m, scale)
        log_d, total, value = np.log(d), 0.0, 0.0
        for k in range(ids.shape[1]):
            w = float64(weights[r, k])
            total += w
            if w != 0:
                value += w * (np.log(w) - (float64(below(z_r[ids[r, k]], m, scale)) - log_d))
        # A NaN elsewhere in the row is in the sum of its exponentials.
        values[r] = value
        if g.size:
            g_r = g[g_at[r] : g_at[r] + V]
            times(e, float32(weight * total / d), g_r)
            for k in range(ids.shape[1]):
                g_r[ids[r, k]] -= float32(weight * weights[r, k])


@inlined
def largest(x):
    """max x_j; the result is arbitrary where x has a NaN, which the sum of exponentials then shows.

    Compilers do not reorder a maximum of floats, because of NaN, but that of integers. The largest bits, as integers, are
    those of the largest float, unless all floats are negative; then of the smallest.
    """
    top = bits_of_float(x[0])
    for j in range(x.size):
        bits = bits_of_float(x[j])
        top = bits if bits > top else top
    if top < 0:
        for j in range(x.size):
            bits = bits_of_float(x[j])
            top = bits if bits < top else top
    return float_of_bits(top)


@inlined
def exponentials(x, e, m, scale):
    """e_j = e^((x_j − m)·scale), and their sum."""
    d = 0.0
    for b in range(0, x.size, BLOCK):
        d += float64(exponentials_of_block(x[b : b + BLOCK], e[b : b + BLOCK], m, scale))
    return d


@summed
def exponentials_of_block(x, e, m, scale):
    d = ZERO
    for j in range(x.size):
        e_j = exp((x[j] - m) * scale)
        e[j] = e_j
        d += e_j
    return d


@inlined
def below(x, m, scale):
    """(x − m)·scale, for a logarithm of 0 the floor; NaN stays NaN."""
    a = (x - m) * scale
    return FLOOR if a < FLOOR else a


@inlined
def expected(e, a, m_a, b, m_b, scale):
    """Σ e·(a' − b') with a' = (a − m_a)·scale, and b' likewise."""
    s = 0.0
    for n in range(0, e.size, BLOCK):
        s += float64(expected_of_block(e[n : n + BLOCK], a[n : n + BLOCK], m_a, b[n : n + BLOCK], m_b, scale))
    return s


@summed
def expected_of_block(e, a, m_a, b, m_b, scale):
    s = ZERO
    for j in range(e.size):
        s += e[j] * (below(a[j], m_a, scale) - below(b[j], m_b, scale))
    return s


@inlined
def difference(a, of_a, b, of_b, g):
    """g = a·of_a − b·of_b."""
    for j in range(g.size):
        g[j] = a[j] * of_a - b[j] * of_b


@inlined
def times(a, of_a, g):
    """g = a·of_a."""
    for j in range(g.size):
        g[j] = a[j] * of_a


@inlined
def of_reverse_kl(e, z, m_z, t, m_t, scale, mean, c, g):
    """g = c·e·(z' − t' − mean): the normalisers of log q − log p are in its mean, too."""
    for j in range(g.size):
        g[j] = c * e[j] * (below(z[j], m_z, scale) - below(t[j], m_t, scale) - mean)


# The others have a loss ℓ(q) with slope f_j by q_j, and the gradient is q_j·(f_j − Σ q·f) by the logits' scale. They leave
# q in e_z and q·f in e_t, and return ℓ and Σ q·f.


@inlined
def of_jsd(e_z, e_t, z, m_z, t, m_t, scale, c_z, c_t, logs, share):
    """ℓ = β·KL(p‖m) + (1 − β)·KL(q‖m); f = (1 − β)·(log q − log m), as m's own change adds up to nothing."""
    value, mean = 0.0, 0.0
    for b in range(0, z.size, BLOCK):
        z_b, t_b, e_z_b, e_t_b = z[b : b + BLOCK], t[b : b + BLOCK], e_z[b : b + BLOCK], e_t[b : b + BLOCK]
        of_p, of_q = of_block_of_jsd(e_z_b, e_t_b, z_b, m_z, t_b, m_t, scale, c_z, c_t, logs, share)
        value += float64(of_p) + float64(of_q)
        mean += float64(of_q)
    return value, mean


@summed
def of_block_of_jsd(e_z, e_t, z, m_z, t, m_t, scale, c_z, c_t, logs, share):
    log_z, log_t = logs
    of_p, of_q = ZERO, ZERO
    for j in range(z.size):
        q, p = e_z[j] * c_z, e_t[j] * c_t
        log_m = log_mixture(p, q, share)
        u = (ONE - share) * q * (below(z[j], m_z, scale) - log_z - log_m)
        of_p += share * p * (below(t[j], m_t, scale) - log_t - log_m)
        of_q += u
        e_z[j] = q
        e_t[j] = u
    return of_p, of_q


@inlined
def of_skew(e_z, e_t, t, m_t, scale, c_z, c_t, log_d, share):
    """ℓ = KL(p‖m); f = −(1 − λ)·p/m."""
    value, mean = 0.0, 0.0
    for b in range(0, t.size, BLOCK):
        e_z_b, e_t_b, t_b = e_z[b : b + BLOCK], e_t[b : b + BLOCK], t[b : b + BLOCK]
        of_p, of_q = of_block_of_skew(e_z_b, e_t_b, t_b, m_t, scale, c_z, c_t, log_d, share)
        value += float64(of_p)
        mean += float64(of_q)
    return value, mean


@summed
def of_block_of_skew(e_z, e_t, t, m_t, scale, c_z, c_t, log_d, share):
    of_p, of_q = ZERO, ZERO
    for j in range(t.size):
        q, p = e_z[j] * c_z, e_t[j] * c_t
        m = mixture(p, q, share)
        u = (share - ONE) * q * (p / m)
        of_p += p * (below(t[j], m_t, scale) - log_d - log(m))
        of_q += u
        e_z[j] = q
        e_t[j] = u
    return of_p, of_q


@inlined
def of_tvd(e_z, e_t, c_z, c_t):
    """ℓ = ½·Σ|q − p|; f = ½·sign(q − p)."""
    value, mean = 0.0, 0.0
    for b in range(0, e_z.size, BLOCK):
        of_both, of_q = of_block_of_tvd(e_z[b : b + BLOCK], e_t[b : b + BLOCK], c_z, c_t)
        value += float64(of_both)
        mean += float64(of_q)
    return value, mean


# A fused product would leave its rounding where p and q are equal, and with it a sign.
@njit(nogil=True, error_model="numpy", fastmath={"reassoc", "nsz"})
def of_block_of_tvd(e_z, e_t, c_z, c_t):
    of_both, of_q = ZERO, ZERO
    for j in range(e_z.size):
        q, p = e_z[j] * c_z, e_t[j] * c_t
        more = q - p
        half = HALF if more > ZERO else (-HALF if more < ZERO else ZERO)
        of_both += half * more
        of_q += half * q
        e_z[j] = q
        e_t[j] = half * q
    return of_both, of_q


@inlined
def mixture(p, q, share):
    """share·p + (1 − share)·q, above 0. Where both are below the smallest number, so is what they add to a loss."""
    m = q + share * (p - q)
    return TINY if m < TINY else m


@inlined
def log_mixture(p, q, share):
    return log(mixture(p, q, share))
