"""What is compiled: values of positions, alpha-beta and rollouts to a budget of nodes, and learning by self-play.

All of it walks over the rows of `solved.Solved`, whose `value` is looked at where a game has ended and nowhere else. Random
numbers are xorshift64*, whose state is an array of one uint64, not 0.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ...compiled.kernel import inlined, kernel
from .solved import Solved

SURE = 0.999
"""The largest value that is no proof; a won game has 1."""


class Rater(NamedTuple):
    """A function from positions to values for the player to move, tanh(w·x + b + v·max(U x + c, 0)).

    Attributes:
        cells: (cells,) int64, their bits.
        lines: (lines,) int64, their cells.
        raw: whether x has each cell, 1 where it is one's own, then where it is the other's.
        connect: above 0, x also has the number of lines with 1 to connect - 1 discs of one's own and none of the other's,
            then the other's.
        hidden: the number of rows of U.
        flat: (x + 1 + 2 hidden + x hidden,) float64: w, b, v, c and the columns of U.
        memo: (positions,) float32, values that are known; NaN where not yet.
        x, h: (x,) and (hidden,) float64, to write into.
    """

    cells: np.ndarray
    lines: np.ndarray
    raw: bool
    connect: int
    hidden: int
    flat: np.ndarray
    memo: np.ndarray
    x: np.ndarray
    h: np.ndarray


class Memory(NamedTuple):
    """What learning goes on from.

    Attributes:
        rows, targets: the last positions played, int64 and float64.
        mean, square: Adam's, of `flat`.
        done: int64: positions played so far, steps of Adam.
        state: of random numbers.
    """

    rows: np.ndarray
    targets: np.ndarray
    mean: np.ndarray
    square: np.ndarray
    done: np.ndarray
    state: np.ndarray


@inlined
def uniform(state: np.ndarray) -> float:
    """At random from [0, 1)."""
    x = state[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    state[0] = x
    return float((x * np.uint64(2685821657736338717)) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@inlined
def some_child(children: np.ndarray, row: int, state: np.ndarray) -> int:
    """One of them at random."""
    count = 0
    found = -1
    for child in children[row]:
        if child >= 0:
            count += 1
            if uniform(state) * count < 1.0:
                found = child
    return found


@inlined
def discs(x: int) -> int:
    """How many."""
    count = 0
    while x:
        x &= x - 1
        count += 1
    return count


@inlined
def forward(game: Solved, r: Rater, row: int) -> float:
    """The value of a position; leaves x and the hidden layer in `r.x` and `r.h`."""
    own, other, x, h, flat, hidden = game.own[row], game.other[row], r.x, r.h, r.flat, r.hidden
    n, at = len(x), 0
    x[:] = 0.0
    if r.raw:
        at = 2 * len(r.cells)
        for i in range(len(r.cells)):
            x[i] = (own >> r.cells[i]) & 1
            x[len(r.cells) + i] = (other >> r.cells[i]) & 1
    if r.connect:
        for line in r.lines:
            mine, theirs = discs(own & line), discs(other & line)
            if mine and not theirs:
                x[at + mine - 1] += 1.0
            elif theirs and not mine:
                x[at + r.connect + theirs - 2] += 1.0
    bias = n + 1 + hidden
    out = flat[n]
    for j in range(hidden):
        h[j] = flat[bias + j]
    for i in range(n):
        if x[i]:
            out += flat[i] * x[i]
            for j in range(hidden):
                h[j] += flat[bias + hidden + i * hidden + j] * x[i]
    for j in range(hidden):
        h[j] = max(h[j], 0.0)
        out += flat[n + 1 + j] * h[j]
    return math.tanh(out)


@inlined
def add_gradient(game: Solved, r: Rater, row: int, target: float, gradient: np.ndarray) -> None:
    """Adds that of (target - value)² / 2 by `flat`."""
    out = forward(game, r, row)
    n, hidden = len(r.x), r.hidden
    step = (out - target) * (1 - out * out)
    bias = n + 1 + hidden
    for j in range(hidden):
        gradient[n + 1 + j] += step * r.h[j]
        r.h[j] = step * r.flat[n + 1 + j] if r.h[j] > 0 else 0.0
        gradient[bias + j] += r.h[j]
    gradient[n] += step
    for i in range(n):
        if r.x[i]:
            gradient[i] += step * r.x[i]
            for j in range(hidden):
                gradient[bias + hidden + i * hidden + j] += r.h[j] * r.x[i]


@kernel
def learn(
    game: Solved,
    r: Rater,
    memory: Memory,
    games: int,
    trace: float,
    rate: float,
    explore: float,
    opening: int,
    batch: int,
) -> None:
    """TD(λ) by self-play; changes `r.flat`.

    After up to `opening` moves at random, both sides make the move rated best, or with a chance of `explore` any. When the
    game has ended each of its positions gets a target, the last first: what its best move was rated and, with the weight
    `trace` (λ), the target of the position after it; behind a move at random the former only. They join the memory, from
    which `batch` at random make a step of Adam.
    """
    rows, best, sure = np.empty(64, np.int64), np.empty(64), np.empty(64)
    gradient = np.empty_like(r.flat)
    state, size = memory.state, len(memory.rows)
    for _ in range(games):
        row = 0
        for _ in range(int(uniform(state) * (opening + 1))):
            child = some_child(game.children, row, state)
            if game.ended[child]:
                break
            row = child
        n = 0
        while not game.ended[row]:
            rows[n], best[n], sure[n] = row, -2.0, trace
            then = -1
            for child in game.children[row]:
                if child >= 0:
                    worth = -float(game.value[child]) if game.ended[child] else -forward(game, r, child)
                    if worth > best[n]:
                        best[n], then = worth, child
            if uniform(state) < explore:
                then, sure[n] = some_child(game.children, row, state), 0.0
            row = then
            n += 1
        target = float(game.value[row])
        for t in range(n - 1, -1, -1):
            target = (1 - sure[t]) * best[t] - sure[t] * target
            at = memory.done[0] % size
            memory.rows[at], memory.targets[at] = rows[t], target
            memory.done[0] += 1
        gradient[:] = 0.0
        for _ in range(batch):
            at = int(uniform(state) * min(memory.done[0], size))
            add_gradient(game, r, memory.rows[at], memory.targets[at], gradient)
        memory.done[1] += 1
        step = rate * math.sqrt(1 - 0.999 ** memory.done[1]) / (1 - 0.9 ** memory.done[1])
        for i in range(len(gradient)):
            each = gradient[i] / batch
            memory.mean[i] += 0.1 * (each - memory.mean[i])
            memory.square[i] += 0.001 * (each * each - memory.square[i])
            r.flat[i] -= step * memory.mean[i] / (math.sqrt(memory.square[i]) + 1e-8)


@kernel
def alpha_beta(
    game: Solved,
    r: Rater,
    row: int,
    depth: int,
    alpha: float,
    beta: float,
    middle_first: np.ndarray,
    count: np.ndarray,
) -> float:
    """The value of a position by so many moves of search, exact where it lies between alpha and beta.

    Args:
        count: int64: nodes so far, their limit, nodes that were rated. At the limit it stops, and what it returns means nothing.
    """
    if game.ended[row]:
        return float(game.value[row])
    if depth == 0:
        count[2] += 1
        if not len(r.memo):
            rated: float = SURE * forward(game, r, row)
            return rated
        if math.isnan(r.memo[row]):
            r.memo[row] = SURE * forward(game, r, row)
        return float(r.memo[row])
    best = -2.0
    for column in middle_first:
        child = game.children[row, column]
        if child >= 0 and count[0] < count[1]:
            count[0] += 1
            best = max(
                best, -alpha_beta(game, r, child, depth - 1, -beta, -max(alpha, best), middle_first, count)
            )
            if best >= beta:
                break
    return best


@kernel
def search(
    game: Solved,
    r: Rater,
    row: int,
    nodes: int,
    order: np.ndarray,
    middle_first: np.ndarray,
    count: np.ndarray,
    worth: np.ndarray,
) -> int:
    """The column that alpha-beta chooses at a position, deepened move by move until `nodes` positions have been entered.

    The search to one move is always finished. Of the depth at which the nodes run out counts what was finished; the move
    that was best before goes first.

    Args:
        order: (columns,), that of the moves of this position; changed.
        count: as in `alpha_beta`; written.
        worth: (columns,), the value of each move by the last search that it was in: exact for the best, else a bound.
    """
    count[:] = 0
    chosen, depth = -1, 0
    while True:
        depth += 1
        count[1] = nodes if depth > 1 else 1 << 62
        rated_before = count[2]
        best, at = -2.0, -1
        for place in range(len(order)):
            child = game.children[row, order[place]]
            if child < 0:
                continue
            if count[0] >= count[1]:
                return chosen
            count[0] += 1
            found = -alpha_beta(game, r, child, depth - 1, -2.0, -best, middle_first, count)
            if count[0] >= count[1] and depth > 1:
                return chosen
            worth[order[place]] = found
            if found > best:
                best, at = found, place
                chosen = order[place]
        for place in range(at, 0, -1):
            order[place] = order[place - 1]
        order[0] = chosen
        if abs(best) >= 1.0 or count[2] == rated_before or count[0] >= nodes:
            return chosen


@kernel
def rollouts(
    game: Solved,
    row: int,
    nodes: int,
    explore: float,
    state: np.ndarray,
    count: np.ndarray,
    worth: np.ndarray,
) -> int:
    """The column that UCT chooses: the one most often tried. A node is a position that joins the tree, or an ended one that is
    met again; a game at random from there rates it. Each move is tried at least once.

    Args:
        explore: c of mean + c sqrt(log n / n_child).
        count: int64: nodes, nothing, positions passed by in all games at random.
        worth: (columns,), the mean result of each move.
    """
    columns = game.children.shape[1]
    count[:] = 0
    moves = 0
    for child in game.children[row]:
        moves += child >= 0
    count[0] = max(nodes, moves)
    at = np.empty(count[0] + 1, np.int64)
    visits, total = np.zeros(count[0] + 1), np.zeros(count[0] + 1)
    below = np.full((count[0] + 1, columns), -1, np.int64)
    path = np.empty(64, np.int64)
    at[0], known = row, 1
    for _ in range(count[0]):
        node, length = 0, 1
        path[0] = 0
        while not game.ended[at[node]]:
            fresh, untried = -1, 0
            for column in range(columns):
                if game.children[at[node], column] >= 0 and below[node, column] < 0:
                    untried += 1
                    if uniform(state) * untried < 1.0:
                        fresh = column
            if untried:
                below[node, fresh] = known
                at[known] = game.children[at[node], fresh]
                node = known
                known += 1
            else:
                best, then = -np.inf, -1
                for column in range(columns):
                    child = below[node, column]
                    if child >= 0:
                        bound = total[child] / visits[child] + explore * math.sqrt(
                            math.log(visits[node]) / visits[child]
                        )
                        if bound > best:
                            best, then = bound, child
                node = then
            path[length] = node
            length += 1
            if untried:
                break
        here, sign = at[node], -1.0
        while not game.ended[here]:
            here = some_child(game.children, here, state)
            sign = -sign
            count[2] += 1
        result = sign * game.value[here]  # for who moved to the node
        for i in range(length - 1, -1, -1):
            visits[path[i]] += 1
            total[path[i]] += result
            result = -result
    chosen, most = -1, -1.0
    for column in range(columns):
        child = below[0, column]
        worth[column] = np.nan
        if child >= 0:
            worth[column] = total[child] / visits[child]
            score = visits[child] + 0.5 * worth[column] + 0.01 * uniform(state)
            if score > most:
                chosen, most = column, score
    return chosen
