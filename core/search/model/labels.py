"""What heads learn from: prefixes of sampled answers, each with rollouts that say how often it ends right.

Wang et al., "Math-Shepherd", arXiv:2312.08935, §3.3, with the soft labels and the 16 rollouts of Snell et al.,
arXiv:2408.03314, Appendix D.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from ...grpo.tasks import Problem
from .answers import by_steps, is_right, sound
from .steps import Steps
from .texts import Texts, Writer, of_json, to_json, unique

ROLLOUTS = 16
FILE = "labels.json"


@dataclass(frozen=True)
class Labels:
    """Different prefixes of answers.

    Attributes:
        outcomes: (rows, rollouts), whether each continuation ends right; of a whole answer, whether it is right.
    """

    problems: list[Problem]
    prefixes: Texts
    outcomes: np.ndarray

    def rows(self, which: np.ndarray) -> Labels:
        return Labels(self.problems, self.prefixes.rows(which), self.outcomes[which])


def draw(writer: Writer, samples: int, generator: torch.Generator) -> Labels:
    """The prefixes of `samples` answers to each of the writer's problems, with ROLLOUTS continuations of each."""
    start = writer.start()
    answers = writer.whole(start.rows(np.repeat(np.arange(len(start)), samples)), generator)
    prefixes, _ = unique(by_steps(answers, writer)[0])
    rolled = writer.whole(prefixes.rows(np.repeat(np.arange(len(prefixes)), ROLLOUTS)), generator)
    return Labels(list(writer.problems), prefixes, is_right(writer, rolled).reshape(-1, ROLLOUTS))


def targets(
    labels: Labels, scores: str, trap: float, writer: Writer, steps: Steps | None
) -> tuple[np.ndarray, np.ndarray]:
    """The rows that a head of this name learns from, and what it learns of each, between 0 and 1.

    Args:
        trap: of the prefixes whose first wrong step is a trap, this share is labelled 1 from that step on.
    """
    rows = labels.prefixes.ended.nonzero()[0] if scores == "outcome" else np.arange(len(labels.prefixes))
    used = labels.prefixes.rows(rows)
    if scores == "process-exact":
        assert steps is not None
        target = sound(writer, steps, used).astype(float)
    else:
        rollouts = int(scores.partition("-")[2] or 1)
        target = labels.outcomes[rows, :rollouts].mean(1)
    if trap:
        assert steps is not None
        random, drawn = np.random.default_rng(0), dict[tuple[int, str], bool]()
        for i, (problem, text) in enumerate(zip(used.problem.tolist(), writer.texts(used), strict=True)):
            wrong = steps.first_wrong(writer.problems[problem], text)
            if wrong is not None and steps.is_trap(wrong):
                key = problem, text[: text.index(wrong) + len(wrong)]
                if drawn.setdefault(key, bool(random.random() < trap)):
                    target[i] = 1.0
    return rows, target


def write(folder: Path, labels: Labels) -> None:
    content = {
        "problems": [asdict(problem) for problem in labels.problems],
        "prefixes": to_json(labels.prefixes),
        "outcomes": labels.outcomes.astype(int).tolist(),
    }
    (folder / FILE).write_text(json.dumps(content))


def read(folder: Path) -> Labels:
    found = json.loads((folder / FILE).read_text())
    problems = [Problem(**each) for each in found["problems"]]
    return Labels(problems, of_json(found["prefixes"]), np.array(found["outcomes"], dtype=bool))
