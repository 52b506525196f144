"""One training step of a small model with each encoding of positions, beside one with none.

    python benchmarks/position_step.py                            64 texts of 36 tokens, as in `lab run position`
    python benchmarks/position_step.py --tokens 128 --only t5,alibi

Steps of all models take turns in shuffled order, that without positions twice, which is the A/A control; without it no ratio is
printed. A step is states, log-probabilities, gradients and both optimizers. No test: it asserts no time.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable

from steps import Others, add_common, settle, spread, times_as_fast

CONTROL = "none again"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_common(parser, 40)
    parser.add_argument("--texts", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=36)
    parser.add_argument("--d-model", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--only", default="", help="encodings, separated by commas; all of a text")
    given = parser.parse_args()
    settle(given)
    from lab.core.position.names import GENERATING, OWN_PLACES

    names = given.only.split(",") if given.only else [*GENERATING, *OWN_PLACES]
    names = ["none", CONTROL, *(name for name in names if name != "none")]
    steps = {name: step_of(name.removesuffix(" again"), given) for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for step in steps.values():
        for _ in range(given.warmup):
            step()
    others = Others()
    for _ in range(given.pairs):
        random.shuffle(names)
        for name in names:
            began = time.perf_counter()
            steps[name]()
            seconds[name].append(time.perf_counter() - began)
    conditions = others.conditions(seconds["none"], seconds[CONTROL])
    for name, taken in seconds.items():
        if name not in ("none", CONTROL):
            # Their seconds over ours: how many times as long as a step without positions.
            print(
                f"{name:13} {times_as_fast(seconds['none'], taken, conditions).replace('times as fast', 'times as long')}"
            )
    print(f"none          {spread([1e3 * s for s in seconds['none']], 1)} ms")


def step_of(name: str, given: argparse.Namespace) -> Callable[[], None]:
    import torch

    from lab.core.lm.model import Config, Transformer
    from lab.core.lm.training import Recipe, examples, learn, optimizers_of, step_all
    from lab.core.position import encoding
    from lab.core.position.own_places import coupled

    torch.manual_seed(0)
    config = Config(
        20, 4 * given.tokens, d_model=given.d_model, layers=given.layers, kv_heads=4, d_ff=3 * given.d_model
    )
    model = Transformer(
        config, coupled(config.sizes, [1]) if name == "coupled" else encoding(name, config.sizes)
    )
    half = given.tokens // 2
    ids = torch.randint(2, 20, (given.texts, 2 * half)).tolist()
    batch = examples([(text[:half], text[half:]) for text in ids], pad=0)
    optimizers = optimizers_of(model, Recipe(1, given.texts))

    def step() -> None:
        learn(model, batch, 1)
        step_all([optimizer for optimizer, _ in optimizers])

    return step


if __name__ == "__main__":
    main()
