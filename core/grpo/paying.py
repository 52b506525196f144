"""What `reward:` of an experiment pays for: `accuracy+0.2*format`, with functions of one's own among ours.

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

    from .rewards import Composed, Reward
    from .tasks import Task
    from .trainer import Rewards

REWARDS = "accuracy", "format", "language", "length", "random"


def reward_terms(text: str) -> dict[str, float]:
    """The terms of a reward with their weights: names of ours, and functions as `./file.py:function`.

    Raises:
        ValueError: a reward that is none or stands there twice, or a weight that is no finite number.
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


def rewards_of(text: str, task: Task, load: Callable[[str], Callable[..., Any]]) -> Rewards:
    """The rewards of a step, for its random numbers. Functions of one's own are known as `file.py:function`.

    Args:
        task: has the verifier, and the length that `length` is a share of.
        load: takes a `./file.py:function` to the function.
    """
    from . import rewards

    weights = reward_terms(text)
    ours: dict[str, Reward] = {
        "accuracy": rewards.accuracy(task.is_right),
        "format": rewards.format,
        "length": rewards.length(task.longest_completion),
    }
    if "language" in weights:
        ours["language"] = rewards.language_consistency(*task.alphabets, target=task.alphabets[0])
    names = _short(weights)
    chosen: Mapping[str, Reward | None] = {
        names[name]: load(name) if is_reference(name) else ours.get(name) for name in weights
    }
    by_name = {names[name]: weight for name, weight in weights.items()}

    def of_step(random: np.random.Generator) -> Composed:
        made = {name: reward or rewards.random_reward(random) for name, reward in chosen.items()}
        return rewards.Composed(made, by_name)

    return of_step


def _short(names: Mapping[str, float]) -> dict[str, str]:
    """Each name without the folder, or as it is where two would then be called alike."""
    short = {name: Path(name).name for name in names}
    alike = {one for one in short.values() if list(short.values()).count(one) > 1}
    return {name: name if one in alike else one for name, one in short.items()}
