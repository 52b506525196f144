"""What a player's moves lose against perfect play. Kept, since players that do not learn are the same at any number of games."""

from __future__ import annotations

import json
from pathlib import Path
from time import perf_counter

import numpy as np

from ...source_digest import source_digest
from ...trial import Context
from .board import Board
from .compiled import Rater, rollouts, search
from .params import Params
from .players import digest_of, rater
from .solved import Solved

TIMED = 50
"""Positions whose moves are timed, each value computed anew."""


class Player:
    """Chooses moves.

    Args:
        r: the values that alpha-beta searches by; None: games at random (UCT).
        random: orders moves, so that of equal ones any may be the first, and plays the games at random.
    """

    def __init__(
        self, game: Solved, board: Board, r: Rater | None, explore: float, random: np.random.Generator
    ) -> None:
        self.game, self.r, self.explore, self.random = game, r, explore, random
        self.middle_first = np.argsort(
            np.abs(np.arange(board.columns) - (board.columns - 1) / 2), kind="stable"
        )
        self.state = random.integers(1, 2**63, 1).astype(np.uint64)
        self.count, self.worth = np.zeros(3, np.int64), np.empty(board.columns)

    def column(self, row: int, nodes: int) -> int:
        """The move at a position; `count` and `worth` then say what it took, and what each move was found to be worth."""
        self.worth[:] = np.nan
        if self.r is None:
            return int(rollouts(self.game, row, nodes, self.explore, self.state, self.count, self.worth))
        order = self.random.permutation(len(self.worth))
        return int(search(self.game, self.r, row, nodes, order, self.middle_first, self.count, self.worth))


def drawn_positions(game: Solved, positions: int, seed: int) -> np.ndarray:
    """Rows at random from those where moves differ in what they are worth; all of them where there are no more."""
    random = np.random.default_rng([seed, 0])
    return random.choice(game.deciding, min(positions, len(game.deciding)), replace=False)


def player_of(params: Params, game: Solved, context: Context) -> Player:
    """The player that the parameters name."""
    r = None if params.implementation == "rollouts" else rater(params, game, context)
    return Player(game, params.board, r, params.exploration, np.random.default_rng([context.seed, 1]))


def regret(params: Params, game: Solved, player: Player, seed: int) -> dict[str, float]:
    """Of a player at so many nodes a move.

    Returns: `regret`, the mean of what the best move is worth less what the chosen one is, won 1, drawn 0, lost -1; `wrong`,
    the share of moves that lose something; `nodes_used`; `rated`, positions rated, or of rollouts passed by in games at random; `ms`, the
    time of a move.
    """
    rows, nodes = drawn_positions(game, params.positions, seed), params.nodes
    lost, used, rated = np.empty(len(rows)), 0, 0
    for i, row in enumerate(rows):
        child = game.children[row, player.column(row, nodes)]
        lost[i] = int(game.value[row]) + int(game.value[child])
        used, rated = used + int(player.count[0]), rated + int(player.count[2])
    if player.r is not None and not params.is_own:
        player.r = player.r._replace(memo=np.empty(0, np.float32))
    start = perf_counter()
    for row in rows[:TIMED]:
        player.column(row, nodes)
    ms = 1000 * (perf_counter() - start) / min(TIMED, len(rows))
    return {
        "regret": float(lost.mean()),
        "wrong": float((lost > 0).mean()),
        "nodes_used": used / len(rows),
        "rated": rated / len(rows),
        "ms": ms,
    }


def measured(params: Params, context: Context, game: Solved) -> dict[str, float]:
    """`regret`, from the cache where it is there."""

    def make(folder: Path) -> None:
        found = regret(params, game, player_of(params, game, context), context.seed)
        (folder / "found.json").write_text(json.dumps(found))

    what = [params.player(), context.seed, digest_of(params), source_digest(__name__)]
    made = context.cached(json.dumps(["connect-four regret", *what]), make)
    found: dict[str, float] = json.loads((made / "found.json").read_text())
    return found
