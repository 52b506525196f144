"""One player at one number of games of self-play and of nodes a move: `lab run bitter-games`.

Importing this costs no torch, and neither Numba nor NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...trial import Context, Kernel, seeded
from .params import Params

__all__ = ["Params", "kernels", "trial"]


def kernels(params: Params) -> Sequence[Kernel]:
    """All of them, on a board of 3 x 3."""
    return (Kernel("connect-four", "connect-four", 10.0, _all),)


def _all() -> None:
    import numpy as np

    from .compiled import learn
    from .players import fresh_memory, untrained
    from .regret import Player
    from .solved import solve

    params = Params.model_validate({"implementation": "hybrid", "columns": 3, "rows": 3, "connect": 3})
    game = solve(params.board)
    r = untrained(params, game, 0)
    learn(game, r, fresh_memory(params, r, 0), 1, 0.5, 0.01, 0.1, 2, 4)
    for each in (r, None):
        Player(game, params.board, each, 1.0, np.random.default_rng(0)).column(0, 16)


def trial(params: Params, context: Context) -> Mapping[str, float]:
    """Let a player move at `positions` positions.

    Returns: what `regret.regret` does; with `exchange_games` also `exchange`, see there.

    Raises EvaluationError: an own evaluation gave not one number from -1 to 1 for each position.
    """
    import numpy as np

    from ...compiled.code import refuse_without_numba

    refuse_without_numba("bitter-games")
    from .drawn import drawn
    from .exchange import exchange
    from .regret import drawn_positions, measured, player_of
    from .solved import solved

    context = seeded(context, params.first_seed)
    game = solved(params.board, context)
    found = measured(params, context, game)
    if params.exchange_games:
        table = [[measured(params.model_copy(update={"games": games, "nodes": nodes}), context, game)["regret"]
                  for nodes in params.exchange_nodes] for games in params.exchange_games]  # fmt: skip
        found["exchange"] = exchange(params.exchange_games, params.exchange_nodes, np.array(table))
    row = int(drawn_positions(game, params.positions, context.seed)[0])
    thought = {}
    for name, who in {
        "hand-made": "hand-made",
        "rollouts": "rollouts",
        context.variant: params.implementation,
    }.items():
        player = player_of(params.model_copy(update={"implementation": who}), game, context)
        chosen = player.column(row, params.nodes)
        if player.r is not None:
            player.column(row, 1)  # deeper searches have bounds for other moves than the best
        thought[name] = player.worth, chosen
    context.sample(0, drawn(params.board, game, row, thought))
    return found
