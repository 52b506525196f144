"""The samplers of `lab run power-sampling`, by name: what each answers to the same problems, and what that took."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..grpo.accuracy_at_k import winners
from ..grpo.evaluation import coverage
from ..grpo.rollout import Rollout, answers, rollout, thinks, verified
from ..grpo.tasks import Problem, Task
from ..lm.language_model import LanguageModel
from ..trial import Refused
from .mcmc import power_mcmc
from .params import Params
from .power import chosen_draws, power_weights
from .tree import TooLarge, enumerate_completions


@dataclass(frozen=True)
class Setting:
    """What a sampler answers with.

    Attributes:
        longest: tokens of an answer, at most.
        on_step: called with steps done and steps in all, where there are steps.
    """

    model: LanguageModel
    task: Task
    problems: Sequence[Problem]
    params: Params
    longest: int
    seed: int
    on_step: Callable[[int, int], None]

    def generator(self) -> torch.Generator:
        return torch.Generator(self.model.embedding.weight.device).manual_seed(self.seed)

    def drawn(self, each: int, temperature: float = 1.0) -> Rollout:
        """So many completions of each problem."""
        return rollout(
            self.model,
            self.task,
            self.problems,
            num_generations=each,
            max_completion_length=self.longest,
            temperature=temperature,
            generator=self.generator(),
        )


@dataclass(frozen=True)
class Answered:
    """What a sampler answered.

    Attributes:
        metrics: `pass@k`, the chance that one of k answers is right; `think_rate`; `length`, of an answer in tokens;
            `spent`, the tokens that the sampler reads or generates for one.
        shown: an answer to the first problem; right or wrong.
    """

    metrics: Mapping[str, float]
    shown: tuple[str, bool]


def answer(setting: Setting) -> Answered:
    """What the sampler of `setting.params` answers. Raises Refused: power of an alpha below 1, or a tree too large."""
    return SAMPLERS[setting.params.sampler](setting)


def _sample(setting: Setting) -> Answered:
    found = setting.drawn(setting.params.eval_samples)
    return _of_draws(setting, found, np.arange(len(found.texts)), found.lengths)


def _temperature(setting: Setting) -> Answered:
    found = setting.drawn(setting.params.eval_samples, 1 / setting.params.alpha)
    return _of_draws(setting, found, np.arange(len(found.texts)), found.lengths)


def _of_n(choose: Callable[[Setting, Rollout, np.ndarray], np.ndarray]) -> Callable[[Setting], Answered]:
    """A sampler that takes one of n draws; `choose` gives its place in each group from log p (groups, n)."""

    def of_n(setting: Setting) -> Answered:
        n = setting.params.n
        found = setting.drawn(setting.params.eval_samples * n)
        log_p = found.completions.log_probs.double().sum(1).cpu().numpy().reshape(-1, n)
        places = choose(setting, found, log_p)
        spent = found.lengths.reshape(-1, n).sum(1)
        return _of_draws(setting, found, np.arange(len(places)) * n + places, spent)

    return of_n


def _weighted(setting: Setting, found: Rollout, log_p: np.ndarray) -> np.ndarray:
    return chosen_draws(log_p, setting.params.alpha, np.random.default_rng(setting.seed))


def _likeliest(setting: Setting, found: Rollout, log_p: np.ndarray) -> np.ndarray:
    places: np.ndarray = log_p.argmax(1)
    return places


def _voted(setting: Setting, found: Rollout, log_p: np.ndarray) -> np.ndarray:
    """The first draw that gives the most frequent answer; of several as frequent, one by chance."""
    random = np.random.default_rng(setting.seed)
    places = []
    for group in answers(found, setting.params.n):
        most: list[str | None] = [*winners(group)] or [None]
        places.append(group.index(most[int(random.integers(len(most)))]))
    return np.array(places)


def _power(setting: Setting) -> Answered:
    params, words = setting.params, setting.task.vocabulary
    if params.alpha < 1:
        raise Refused(
            f"alpha is {params.alpha:g}; below 1 nothing bounds what an enumeration leaves out: take power-mcmc"
        )
    try:
        tree = enumerate_completions(
            setting.model,
            [words.encode(problem.prompt) for problem in setting.problems],
            threshold=params.threshold,
            most_prefixes=params.most_prefixes,
            max_new_tokens=setting.longest,
            eos=words.eos_ids,
            pad=words.pad,
        )
    except TooLarge as error:
        raise Refused(
            f"{setting.problems[error.prompt].prompt} has more than {params.most_prefixes:,} prefixes of up to "
            f"{error.tokens} tokens that are likelier than {params.threshold:g}: too many to enumerate. Raise "
            "threshold, or take power-mcmc"
        ) from error
    try:
        weights = power_weights(tree, params.alpha, params.threshold)
    except ValueError as error:  # a prompt without any completion that likely
        raise Refused(f"{error}: lower threshold, or take power-mcmc") from error
    each = [setting.problems[i] for i in tree.prompts.tolist()]
    texts, right = verified(setting.task, each, tree.ids.tolist(), tree.lengths.tolist())

    def share(x: np.ndarray) -> np.ndarray:
        """The mean of a figure of the leaves under p^α, for each problem."""
        return np.bincount(tree.prompts, weights.of_leaves * x, minlength=len(setting.problems))

    of_right, doubled = share(right), [2**i for i in range(params.eval_samples.bit_length())]
    metrics = {f"pass@{k}": float((1 - (1 - of_right) ** k).mean()) for k in doubled}
    first = tree.prompts == 0
    shown = np.random.default_rng(setting.seed).choice(first.sum(), p=weights.of_leaves[first])
    return Answered(
        metrics
        | {
            "think_rate": float(share(np.array([thinks(text) for text in texts])).mean()),
            "length": float(share(tree.lengths).mean()),
            "spent": float(tree.nodes.mean()),
            "uncovered": float(weights.uncovered.mean()),
        },
        (texts[shown], bool(right[shown])),
    )


def _mcmc(setting: Setting) -> Answered:
    params, words = setting.params, setting.task.vocabulary
    each = [problem for problem in setting.problems for _ in range(params.eval_samples)]
    chains = power_mcmc(
        setting.model,
        [words.encode(problem.prompt) for problem in each],
        alpha=params.alpha,
        proposal_temperature=params.proposal or 1 / params.alpha,
        blocks=params.blocks,
        mcmc_steps=params.mcmc_steps,
        early=params.early,
        max_new_tokens=setting.longest,
        eos=words.eos_ids,
        pad=words.pad,
        generator=setting.generator(),
        on_step=setting.on_step,
    )
    lengths = chains.lengths.cpu().numpy()
    texts, right = verified(setting.task, each, chains.ids.tolist(), lengths.tolist())
    found = _metrics(setting, texts, right, lengths, chains.tokens.cpu().numpy())
    found["acceptance"] = float(chains.accepted.sum() / chains.proposed.sum())
    return Answered(found, (texts[0], bool(right[0])))


SAMPLERS: Mapping[str, Callable[[Setting], Answered]] = {
    "sample": _sample,
    "temperature": _temperature,
    "power": _power,
    "power-of-n": _of_n(_weighted),
    "power-mcmc": _mcmc,
    "best-of-n": _of_n(_likeliest),
    "vote": _of_n(_voted),
    "grpo": _sample,  # of the trained policy
}


def _of_draws(setting: Setting, found: Rollout, taken: np.ndarray, spent: np.ndarray) -> Answered:
    texts, right = [found.texts[i] for i in taken.tolist()], found.right[taken]
    return Answered(_metrics(setting, texts, right, found.lengths[taken], spent), (texts[0], bool(right[0])))


def _metrics(
    setting: Setting, texts: Sequence[str], right: np.ndarray, lengths: Any, spent: Any
) -> dict[str, float]:
    of_right = coverage(right.reshape(len(setting.problems), -1))
    return {name.removeprefix("eval/"): x for name, x in of_right.items() if "pass" in name} | {
        "think_rate": float(np.mean([thinks(text) for text in texts])),
        "length": float(lengths.mean()),
        "spent": float(spent.mean()),
    }
