"""A tree of partial answers as a search has grown it: what `Context.sample` keeps and a report draws. A leaf."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator


class TreeStep(BaseModel):
    """A step of an answer, behind another one or at the beginning.

    Attributes:
        parent: the number of the step before it, which comes earlier; −1 at the beginning.
        text: what it says.
        score: what the scorer gives to the answer so far. value: what it is truly worth. Both from 0 to 1.
        spent: tokens that the search had generated when it was made, its own included.
        times: how often it was sampled.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    parent: int
    text: str
    score: float
    value: float
    spent: int
    times: int = 1


class SearchTree(BaseModel):
    """A search for the answer to one problem.

    Attributes:
        title: a heading for the drawing. problem: what is asked.
        steps: in the order in which they were made.
        chosen: the number of the last step of the answer that was given.
        budgets: in tokens; the tree is drawn as it was at each.
    Raises ValueError: a parent does not come before its child or was made behind it, or `chosen` is none of the steps.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    problem: str
    steps: tuple[TreeStep, ...]
    chosen: int
    budgets: tuple[int, ...]

    @model_validator(mode="after")
    def _is_a_tree(self) -> Self:
        for number, step in enumerate(self.steps):
            if not -1 <= step.parent < number:
                raise ValueError(f"step {number} has parent {step.parent}, which does not come before it")
            if step.parent >= 0 and step.spent < self.steps[step.parent].spent:
                raise ValueError(f"step {number} was made before its parent, {step.parent}")
        if not 0 <= self.chosen < len(self.steps):
            raise ValueError(f"chosen is {self.chosen}, and there are {len(self.steps)} steps")
        return self
