"""The `reward:` of an experiment, such as `accuracy+0.2*format`: names of built-in rewards and functions of the user's.

Importing this costs no torch: the command line reads it with `Params`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..own_files import check_that_a_function_is_named, is_reference, terms
from ..suggest import did_you_mean

if TYPE_CHECKING:
    import numpy as np

    from .rewards import Reward, StepRewards, WeightedRewards
    from .tasks import Task

REWARDS = "accuracy", "format", "language", "length", "random"


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
        task: its verifier decides `accuracy`, its longest completion the unit of `length`, its alphabets `language`.
        load: from `./file.py:function` to the function.
    """
    from . import rewards

    weights = reward_terms(text)
    built_in: dict[str, Reward] = {
        "accuracy": rewards.accuracy(task.is_right),
        "format": rewards.format,
        "length": rewards.length(task.longest_completion),
    }
    if "language" in weights:
        built_in["language"] = rewards.language_consistency(*task.alphabets, target=task.alphabets[0])
    names = _short(weights)
    chosen: Mapping[str, Reward | None] = {
        names[name]: load(name) if is_reference(name) else built_in.get(name) for name in weights
    }
    by_name = {names[name]: weight for name, weight in weights.items()}

    def of_step(random: np.random.Generator) -> WeightedRewards:
        with_random = {name: reward or rewards.random_reward(random) for name, reward in chosen.items()}
        return rewards.WeightedRewards(with_random, by_name)

    return of_step


def _short(names: Mapping[str, float]) -> dict[str, str]:
    """Each name without its folder; with it, where two names would otherwise be equal."""
    short = {name: Path(name).name for name in names}
    alike = {one for one in short.values() if list(short.values()).count(one) > 1}
    return {name: name if one in alike else one for name, one in short.items()}
