"""The parameters of `lab run bitter-games`. Importing this costs neither torch nor NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, ValidationInfo, model_validator

from ...own_files import is_reference
from ...suggest import nearest
from ...trial import Params as AnyParams

if TYPE_CHECKING:
    from .board import Board

PLAYERS = "hand-made", "linear", "learned", "hybrid", "rollouts"
LEARNING = "linear", "learned", "hybrid"


class Params(AnyParams):
    """A player, how long it has learnt, and how far it searches."""

    implementation: str = ""
    """hand-made: open lines, weighed by hand; linear: the same lines, with weights that are learnt; learned: a network on the bare
    board; hybrid: one that sees the lines too; all four with alpha-beta. rollouts: games at random, and UCT. Or your own evaluation,
    ./file.py:function, with alpha-beta: called with (own, other), discs of who moves and of the other, each (batch, rows,
    columns) of 0 and 1, the lowest row first; gives (batch,) values from -1, lost, to 1, won."""
    columns: int = 5
    """Of the board."""
    rows: int = 4
    """Of the board."""
    connect: int = 4
    """Discs in a row that win."""
    nodes: int = Field(1, ge=1)
    """Positions that a move's search may enter, those it comes to twice counted twice; each move is looked at once in any case. Of
    rollouts the games at random."""
    games: int = Field(0, ge=0)
    """Of self-play, for those that learn."""
    positions: int = Field(1000, ge=1)
    """At which a player moves, drawn anew for each seed from all where one move is worth less than another."""
    exchange_games: tuple[int, ...] = ()
    """With `exchange_nodes`: also how much search replaces how much learning, by regret at all of these."""
    exchange_nodes: tuple[int, ...] = ()
    """As `exchange_games`."""
    first_seed: int = Field(0, ge=0)
    """Added to every seed, so that what is tried out on some seeds is judged on others."""

    # What players know, and how they learn.
    weights: tuple[float, ...] = Field((0.05, 0.15, 0.5), min_length=1)
    """Of open lines with 1, 2, … discs, by hand; a value is tanh of their sum."""
    waiting: float = Field(0.6, ge=0, allow_inf_nan=False)
    """What lines of the opponent's weigh by beside one's own, since the opponent has to wait."""
    exploration: float = Field(1.5, ge=0)
    """c of UCT."""
    hidden: int = Field(64, ge=1)
    """Of the network, which has one hidden layer."""
    trace: float = Field(0.7, ge=0, le=1)
    """λ of TD(λ)."""
    rate: float = Field(0.003, gt=0, allow_inf_nan=False)
    """Of Adam."""
    explore: float = Field(0.3, ge=0, le=1)
    """The chance of a move at random in self-play."""
    opening: int = Field(16, ge=0)
    """Moves at random that a game begins with, at most."""
    batch: int = Field(64, ge=1)
    """Positions that a step learns from; one step a game."""
    memory: int = Field(50_000, ge=1)
    """The last positions of self-play, from which these are drawn."""

    @model_validator(mode="after")
    def _has_a_player(self, info: ValidationInfo) -> Self:
        name = self.implementation
        if name and not is_reference(name) and name not in PLAYERS:
            raise ValueError(
                f"no player {name!r}.{nearest(name, PLAYERS)} There are: {', '.join(PLAYERS)}, ./file.py:function"
            )
        if bool(self.exchange_games) != bool(self.exchange_nodes):
            raise ValueError("exchange_games and exchange_nodes belong together")
        if self.exchange_games:
            if (
                len(self.exchange_games) < 2
                or len(self.exchange_nodes) < 2
                or min(self.exchange_games + self.exchange_nodes) < 1
            ):
                raise ValueError(
                    "exchange_games and exchange_nodes are two numbers or more each, of 1 or more"
                )
            if not self.learns:
                raise ValueError(f"exchange_games is for players that learn: {', '.join(LEARNING)}")
        self.board  # noqa: B018  # raises for a board that is too large
        if info.context is not None and is_reference(name):
            info.context.load(name)
        return self

    @property
    def board(self) -> Board:
        from .board import Board

        return Board(self.columns, self.rows, self.connect)

    @property
    def is_own(self) -> bool:
        """Whether it is an evaluation of the user's."""
        return is_reference(self.implementation)

    @property
    def learns(self) -> bool:
        return self.implementation in LEARNING

    def learning(self) -> dict[str, Any]:
        """What a training depends on, but for its seed and its games."""
        return self.model_dump(include={
            "implementation", "columns", "rows", "connect", "hidden", "trace", "rate", "explore", "opening", "batch", "memory",
        })  # fmt: skip

    def player(self) -> dict[str, Any]:
        """What regret depends on, but for the seed."""
        unused = {"exchange_games", "exchange_nodes", "first_seed"}
        return self.model_dump(
            exclude=unused
            if self.learns
            else {*unused, *self.learning(), "games"} - {"implementation", "columns", "rows", "connect"}
        )
