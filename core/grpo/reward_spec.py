"""The `reward:` of an experiment, such as `accuracy+0.2*format`: names of built-in rewards and functions of the user's.

Importing this costs no torch: the command line reads it with `Params`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..own_files import check_that_a_function_is_named, terms
from ..suggest import did_you_mean
from . import rewards

if TYPE_CHECKING:
    import numpy as np

    from .rewards import Reward, StepRewards, WeightedRewards
    from .tasks import Task

BUILT_IN: dict[str, Callable[[Task], Reward]] = {
    "accuracy": lambda task: rewards.accuracy(task.is_right),
    "format": lambda task: rewards.format,
    "language": lambda task: rewards.language_consistency(*task.alphabets, target=task.alphabets[0]),
    "length": lambda task: rewards.length(task.longest_completion),
}
"""By name, from the task to the reward."""
REWARDS = *BUILT_IN, "random"
"""`random` is drawn anew at each step."""


def reward_terms(text: str) -> dict[str, float]:
    """The terms of a reward with their weights: built-in names, and functions as `./file.py:function`.

    Raises ValueError: an unknown reward, one that is named twice, or a weight that is not a finite number.
    """
    found: dict[str, float] = {}
    for term in terms(text):
        name = term.name
        if name not in REWARDS and not term.is_own:
            check_that_a_function_is_named(name)
            hint = did_you_mean(name, REWARDS)
            raise ValueError(f"no reward {name!r}.{hint} There are: {', '.join(REWARDS)}, ./file.py:function")
        if name in found:
            raise ValueError(f"the reward {name} stands there twice")
        found[name] = term.factor()
    return found


def rewards_of(text: str, task: Task, load: Callable[[str], Callable[..., Any]]) -> StepRewards:
    """The rewards that a text names. A function of the user's is called `file.py:function` in metrics.

    Args:
        task: what `BUILT_IN` makes its rewards from.
        load: from `./file.py:function` to the function.
    """
    weights = reward_terms(text)
    names = _short(weights)
    fixed = {
        names[name]: BUILT_IN[name](task) if name in BUILT_IN else load(name)
        for name in weights
        if name != "random"
    }
    by_name = {names[name]: weight for name, weight in weights.items()}

    def of_step(random: np.random.Generator) -> WeightedRewards:
        chosen = {name: fixed[name] if name in fixed else rewards.random_reward(random) for name in by_name}
        return rewards.WeightedRewards(chosen, by_name)

    return of_step


def _short(names: Mapping[str, float]) -> dict[str, str]:
    """Each name without its folder; with it, where two names would otherwise be equal."""
    short = {name: Path(name).name for name in names}
    alike = {one for one in short.values() if list(short.values()).count(one) > 1}
    return {name: name if one in alike else one for name, one in short.items()}
