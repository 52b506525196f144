"""Characters per second of the exactly known language, on one core: scoring of text, and each step in each view.

    python benchmarks/language.py
    python benchmarks/language.py --words 4000 --bpe 512 --documents 64 --characters 500

Seconds are of this process's processor time, so that busy neighbours count little; medians of several passes. Every other
pass is set beside the ones between, as the control: where it is off by more than 3%, it says so.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

from steps import OFF, Conditions, Others, control_of

from lab.core.measure.threads import thread_environment


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--topics", type=int, default=8)
    add("--words", type=int, default=2000)
    add("--bpe", type=int, default=512, help="tokens of the view bpe (%(default)s)")
    add("--documents", type=int, default=64)
    add("--characters", type=int, default=500, help="of each document (%(default)s)")
    add("--passes", type=int, default=7)
    return parser.parse_args()


def main() -> None:
    given = arguments()
    # Before NumPy and torch are loaded, which read them then.
    os.environ.update(thread_environment(1))
    import numpy as np
    import torch

    from lab.core.distill.language import VIEWS, Truth, entropies, figures, view, word_hmm
    from lab.core.measure.machine import processor
    from lab.core.measure.threads import use_threads

    use_threads(1)

    def seconds(call: Callable[[], object]) -> float:
        """The median of all passes but a first one, in which tables are made; keeps its control."""
        taken = []
        for _ in range(given.passes + 1):
            began = time.process_time()
            call()
            taken.append(time.process_time() - began)
        pairs = given.passes // 2
        controls.append(control_of(taken[1::2][:pairs], taken[2::2][:pairs]))
        return statistics.median(taken[1:])

    def beside() -> str:
        """What stands beside the figures since the last ones; the worst of their controls."""
        nonlocal others
        worst = max(controls, key=lambda control: abs(control - 1))
        conditions = Conditions(worst, others.used(), processor())
        controls.clear()
        others = Others()
        return f"{conditions}" + (
            "" if conditions.is_steady else f", off by more than {OFF:.0%}: compare nothing"
        )

    controls: list[float] = []
    others = Others()
    took = seconds(lambda: word_hmm(given.topics, given.words))
    language = word_hmm(given.topics, given.words)
    found = entropies(language)
    print(
        f"{given.words:,} words, {given.topics} topics, made in {took:.3f} s: {found.rate:.3f} bits per character, "
        f"{found.unigram:.3f} without context, {found.given_topic:.3f} with the topic known; {beside()}"
    )
    texts = language.write(np.random.default_rng(1), given.documents, given.characters)
    characters = sum(map(len, texts))
    words = sum(text.count(" ") for text in texts)
    print(f"score: {characters / seconds(lambda: language.score(texts)):,.0f} characters/s; {beside()}")
    print("view  tokens  per word      encode        read       dense     figures   characters/s each")
    for name in VIEWS:
        truth = Truth(language, view(language, name, size=given.bpe))
        ids = truth.view.rows(texts)
        reading = truth.read(ids)
        logits = torch.randn(*ids.shape, truth.view.size)
        rates = [
            characters / seconds(call)
            for call in (
                lambda truth=truth: truth.view.rows(texts),
                lambda truth=truth, ids=ids: truth.read(ids).log_probs,
                lambda reading=reading: reading.dense(),
                lambda reading=reading, logits=logits: figures(reading, logits),
            )
        ]
        tokens = int(reading.real[:, 1:].sum())
        print(
            f"{name:4}  {truth.view.size:6,}  {tokens / words:8.2f}  "
            + "  ".join(f"{r:10,.0f}" for r in rates)
            + f"   {beside()}"
        )


if __name__ == "__main__":
    main()
