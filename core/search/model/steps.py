"""Where a trace of the task `chain` goes wrong first: read from its text, by arithmetic."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from ...grpo.tasks import Problem
from ...grpo.tasks.chain import Structure
from ...lm.vocabulary import EOS

_CLOSES = re.compile(r"</think>|<answer>")


@dataclass(frozen=True)
class Steps:
    """Reads traces over a structure whose elements are single characters; `is_right` is the task's."""

    kind: Structure
    is_right: Callable[[Problem, str], bool]

    def first_wrong(self, problem: Problem, text: str) -> str | None:
        """The first step that is wrong, as written; None while all are right.

        A step goes on from the value so far, with the problem's next operation or its next two, and comes to their result;
        the trace ends when none is left. An answer without a trace is one step, and so is what follows a trace.

        Args:
            text: a prefix that ends where a step does.
        """
        body = text.removeprefix("<think>")
        end = _CLOSES.search(body)
        trace = body[: end.start()] if end else body.removesuffix(EOS)
        parts = problem.prompt.removesuffix("=")
        value, left = parts[:1], parts[1:]
        if trace or text.startswith("<think>"):
            # Behind a comma that ends the text, the next step has not begun.
            for step in (trace if end else trace.removesuffix(",")).split(",") if trace else [""]:
                taken = self._taken(value, left, step)
                if taken is None:
                    return step
                value, left = step.rpartition("=")[2], left[taken:]
            if end and left:
                return body[end.start() :]
        if (EOS in text or "</answer>" in text) and not self.is_right(problem, text):
            return body[end.start() :] if end else text
        return None

    def _taken(self, value: str, left: str, step: str) -> int | None:
        """How many characters of the problem a right step has dealt with; None for a wrong one."""
        written, equals, result = step.partition("=")
        elements = self.kind.elements
        if not equals or not left:
            return None
        for taken in (2, 4):
            if written == value + left[:taken] and len(left) >= taken:
                number = elements.index(value)
                for op, y in zip(left[0:taken:2], left[1:taken:2], strict=True):
                    number = self.kind.tables[op][number][elements.index(y)]
                return taken if result == elements[number] else None
        return None

    def is_trap(self, wrong: str) -> bool:
        """Whether a wrong step comes to the last element: a kind that can be told by its text."""
        return wrong.endswith("=" + self.kind.elements[-1])
