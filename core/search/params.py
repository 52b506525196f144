"""The parameters of a search. Importing this costs no torch."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ..trial import Params as AnyParams
from ..trial import Refused
from .mcts import EXPLORATION
from .rebase import BALANCE
from .strategy import Aggregate, Choice, Search, Strategy


class SearchParams(AnyParams):
    """A strategy; see `strategy.Strategy`."""

    search: Search = "sample"
    """sample: whole answers, each on its own; greedy: one answer, always the likeliest step; beam; rebase: reward-balanced
    search; mcts: Monte Carlo tree search."""
    budget: int = Field(16, ge=1)
    """N, in whole answers."""
    width: int | Literal["sqrt"] = Field(4)
    """M, how often a beam continues each candidate that it keeps, and children of an expansion of mcts; sqrt: √N."""
    choose: Choice = "best"
    """best: the best rated answer; vote: the most frequent one; weighted-vote; any: right if one of them is."""
    aggregate: Aggregate = "last"
    """From the scores of an answer's steps to its own: that of the last step, their product, or the least."""
    ahead: int = Field(0, ge=0)
    """Steps of lookahead of a beam."""
    distinct: bool = False
    """Whether a beam keeps equal candidates once; in the paper it keeps all."""
    balance: float = Field(BALANCE, gt=0)
    """Temperature at which rebase shares out continuations."""
    exploration: float = Field(EXPLORATION, ge=0)
    """c of mcts."""
    eval_problems: int = Field(64, ge=1)
    """Problems."""

    @model_validator(mode="after")
    def _is_a_strategy(self) -> Self:
        if self.width != "sqrt" and self.width < 1:
            raise ValueError(f"width is {self.width}; it is 1 or more, or sqrt")
        return self


def strategy_of(params: SearchParams) -> Strategy:
    """Raises Refused: a budget that the search cannot keep to. Others on the same axis can."""
    given: dict[str, Any] = {name: getattr(params, name) for name in Strategy.__dataclass_fields__}
    try:
        return Strategy(**given | {"width": 0 if params.width == "sqrt" else params.width})
    except ValueError as error:
        raise Refused(str(error)) from error
