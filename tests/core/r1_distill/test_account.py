"""What is counted: tokens of completions, two operations for each number in a matrix, a prompt once for its group."""

import pytest
import torch

from lab.core.grpo.rollout import rollout
from lab.core.grpo.tasks import task
from lab.core.lm.model import Config, Transformer
from lab.core.lm.scoring import joined
from lab.core.lm.training import examples
from lab.core.r1_distill.account import Account, figures_at, operations, read_in, read_in_rollout


def test_operations_of_a_model_by_hand():
    model = Transformer(Config(vocabulary=11, context=8, d_model=8, layers=1, heads=2, kv_heads=1, d_ff=12))
    qkv, project, gate_up, down, head = 8 * 16, 8 * 8, 8 * 24, 12 * 8, 8 * 11
    assert operations(model, 5) == 2 * 5 * (qkv + project + gate_up + down + head)
    assert operations(model, 5, passes=3) == 3 * operations(model, 5)


def test_a_prompt_counts_once_for_its_group():
    chain = task("chain", structure="z2", base=(1, 2), train=(2, 3), harder=(4, 5))
    config = Config(
        vocabulary=chain.vocabulary.size, context=64, d_model=8, layers=1, heads=2, kv_heads=1, d_ff=8
    )
    import numpy as np

    problems = chain.problems(np.random.default_rng(0), 3, "train")
    sampled = rollout(
        Transformer(config), chain, problems, num_generations=5, max_completion_length=7, temperature=1.0,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    prompts = sum(len(chain.vocabulary.encode(problem.prompt)) for problem in problems)
    assert read_in_rollout(sampled) == prompts + int(sampled.completions.lengths.sum())


def test_given_completions_have_prompts_of_their_own_and_groups_share_one():
    assert read_in(examples([([1, 2], [3, 4, 5]), ([1, 2], [3])], pad=0)) == 5 + 3
    completions, lengths = torch.tensor([[3, 4, 5], [3, 0, 0]]), torch.tensor([3, 1])
    assert read_in(joined([[1, 2]], completions, lengths, pad=0)) == 2 + 3 + 1


def test_accounts_add_up():
    assert Account(1, 2, 3) + Account(10, 20, 30) == Account(11, 22, 33)


POINTS = [{"right": 0.2, "tokens": 0.0}, {"right": 0.4, "tokens": 100.0}, {"right": 0.3, "tokens": 200.0}]


@pytest.mark.parametrize(
    ("level", "tokens"), [(0.1, 0.0), (0.2, 0.0), (0.25, 25.0), (0.4, 100.0), (0.41, None)]
)
def test_where_a_level_is_first_reached(level, tokens):
    found = figures_at(POINTS, "right", level)
    assert found is None if tokens is None else found["tokens"] == pytest.approx(tokens)


def test_both_parts_of_a_teachers_base_are_charged_and_its_reward():
    from lab.core.grpo.params import Params, task_of
    from lab.core.r1_distill.teacher import _training

    params = Params(structure="z2", base_depth=(2, 2), train_depth=(3, 3), long=0.0, base_steps=10, base_batch=4, steps=5,
                    num_prompts=3, beta=0.0)  # fmt: skip
    chain = task_of(params, None)
    model = Transformer(
        Config(vocabulary=chain.vocabulary.size, context=8, d_model=8, layers=1, heads=2, kv_heads=1, d_ff=8)
    )
    per_token = operations(model, 1)
    demonstration, prompt = 6 + 4, 8  # 1+0+1= <answer>0</answer><eos>, and 1+0+1+1=
    of_base, of_reward = 3 * 10 * 4 * demonstration, 4 * (1000 + 5 * 3 * prompt)
    assert _training(params, chain, model, 1000) == pytest.approx(per_token * (of_base + of_reward))
    in_parts = params.model_copy(update={"first_steps": 30, "first_long": 0.0})
    assert _training(in_parts, chain, model, 1000) == pytest.approx(per_token * (4 * of_base + of_reward))
    assert _training(params.model_copy(update={"beta": 0.1}), chain, model, 1000) == pytest.approx(
        per_token * (of_base + of_reward * 5 / 4)
    )
