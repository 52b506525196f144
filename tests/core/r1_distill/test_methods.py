"""What each method learns from: whose samples, whose distribution, and how right they are."""

import copy

import numpy as np
import pytest
import torch

from lab.core.grpo.config import grpo_config
from lab.core.grpo.params import task_of
from lab.core.grpo.reward_spec import rewards_of
from lab.core.grpo.tasks import Mixture
from lab.core.grpo.trainer import make_policy, train_step
from lab.core.lm.model import Config, Transformer
from lab.core.lm.scoring import log_probs
from lab.core.r1_distill.methods import METHODS, Lesson, own_samples
from lab.core.r1_distill.params import Params
from lab.core.r1_distill.traces import Traces, deep_task, demonstrations, generated, load_traces, make_traces
from lab.core.trial import Refused

DEPTHS = {"base_depth": (1, 2), "train_depth": (2, 3), "harder_depth": (4, 5)}
PARAMS = Params(method="rl", structure="z3", also="reverse", **DEPTHS)
TASK = task_of(PARAMS, None)


def model(seed):
    torch.manual_seed(seed)
    return Transformer(
        Config(
            vocabulary=TASK.vocabulary.size, context=80, d_model=16, layers=1, heads=2, kv_heads=1, d_ff=16
        )
    )


@pytest.fixture
def lesson():
    config = grpo_config("", num_prompts=4, num_generations=4, max_completion_length=20, learning_rate=1e-2)
    rewards = rewards_of("accuracy+format", TASK, None)
    pairs = [([2, 3], [4, 5, 1]), ([2], [6, 1])]
    return Lesson(
        TASK, deep_task(PARAMS, TASK, None), rewards, config, model(1), Traces(pairs, 8, 90.0), "full", 3
    )


def test_own_samples_are_those_that_reward_would_draw(lesson):
    policy = make_policy(model(0), lesson.config)
    mine = own_samples(policy.model, lesson, step=5)
    batch = train_step(policy, lesson.task, lesson.rewards, lesson.config, seed=3, step=5).batch
    assert mine.texts == batch.rollout.texts


def test_on_policy_goes_towards_the_teacher_and_imitation_towards_its_traces(lesson):
    for method, measured in (("on-policy", "kl"), ("kd", "loss"), ("sft-traces", "loss")):
        policy = make_policy(model(0), lesson.config)
        seen = [METHODS[method](policy, lesson, step).metrics[measured] for step in range(1, 16)]
        assert seen[-1] < 0.7 * seen[0], method


def test_traces_come_in_order_and_again_from_the_first(lesson):
    first = lesson.traces.batch(1, 3, pad=0)
    assert first.ids[:, :3].tolist() == [[2, 3, 4], [2, 6, 1], [2, 3, 4]]
    assert lesson.traces.batch(2, 3, pad=0).lengths.tolist() == [2, 3, 2]


def test_a_teacher_is_charged_for_all_its_answers(lesson):
    policy = make_policy(model(0), lesson.config)
    text = METHODS["sft-traces"](policy, lesson, 1).account
    logits = METHODS["kd"](policy, lesson, 1).account
    per_token = text.teacher / 90.0  # for the 2 traces that are new among 16, it read 90 tokens
    assert logits.teacher - text.teacher == pytest.approx(per_token * 8 * (5 + 3))
    assert text.tokens == 8 * (3 + 2)
    assert METHODS["sft-traces"](policy, lesson, 2).account.teacher == 0


def test_traces_of_a_teacher_are_its_right_answers(tmp_path, lesson):
    """A teacher that was trained on right demonstrations for a while, so that some of its answers are right."""
    teacher = make_policy(model(2), lesson.config)
    for step in range(1, 61):
        METHODS["sft-generator"](teacher, lesson, step)
    make_traces(tmp_path, teacher.model, TASK, lesson.config, 300, seed=0)
    traces = load_traces(tmp_path)
    decode, encode = TASK.vocabulary.decode, TASK.vocabulary.encode
    tokens = sum(len(completion) for _, completion in traces.pairs)
    assert tokens >= 300 and traces.sampled % 16 == 0 and traces.read > tokens
    problems = {}
    random = np.random.default_rng([0, 7_000_003])
    for _ in range(traces.sampled // 16):
        problems |= {p.prompt: p for p in TASK.problems(random, 4, "train")}
    for prompt, completion in traces.pairs:
        problem = problems[decode(prompt)]
        assert TASK.is_right(problem, decode(completion)) and encode(problem.prompt) == prompt


def test_without_a_right_answer_there_are_no_traces(tmp_path, lesson):
    make_traces(
        tmp_path,
        model(1),
        TASK,
        grpo_config("", num_prompts=4, num_generations=4, max_completion_length=1),
        300,
        0,
    )
    with pytest.raises(Refused, match="none of 160 answers"):
        load_traces(tmp_path)


def test_the_generator_shows_right_whole_traces_of_training_depth(lesson):
    for trace, tokens in (("full", lambda k: 6 * k + 5), ("leaps", lambda k: 2 * k + 4 * -(-k // 2) + 5)):
        shown = generated(lesson.deep, Mixture(noise=0.5, slips=0.5, long=0.1), trace, 40, seed=1, step=2)
        for ids, start, length in zip(
            shown.ids.tolist(), shown.starts.tolist(), shown.lengths.tolist(), strict=True
        ):
            prompt = TASK.vocabulary.decode(ids[:start])
            text = TASK.vocabulary.decode(ids[start : start + length])
            digits = [int(digit) for digit in prompt[:-1].split("+")]
            assert len(digits) - 1 in (2, 3) and length == tokens(len(digits) - 1)
            assert text.endswith(f"<answer>{sum(digits) % 3}</answer><eos>")


def test_demonstrations_of_a_step_are_the_same_for_all_and_hold_both_tasks(lesson):
    one, again, other = (demonstrations(TASK, Mixture(), 200, seed=1, step=step) for step in (1, 1, 2))
    assert (
        torch.equal(one.ids, again.ids)
        and one.ids.shape != other.ids.shape
        or not torch.equal(one.ids, other.ids)
    )
    reverse = TASK.vocabulary.encode("reverse:")[0]
    assert 0.2 < float((one.ids[:, 0] == reverse).float().mean()) < 0.4


def test_the_second_task_is_in_the_demonstrations_alone():
    for split in ("train", "test", "harder"):
        assert not any("reverse" in p.prompt for p in TASK.problems(np.random.default_rng(0), 50, split))


def test_reward_keeps_a_reference_and_the_others_none(tmp_path):
    from lab.core.r1_distill.training import _policy

    params = PARAMS.model_copy(update={"beta": 0.1, "imitation_learning_rate": 0.5})
    config = grpo_config("", beta=0.1, learning_rate=0.25)
    lesson = Lesson(TASK, TASK, None, config, model(1), None, "full", 0)
    by_reward, imitating = (_policy(model(0), name, params, lesson) for name in ("rl", "sft-traces"))
    assert by_reward.reference is not None and imitating.reference is None
    assert [p.optimizer.param_groups[0]["lr"] for p in (by_reward, imitating)] == [0.25, 0.5]


def test_the_kl_term_of_reward_is_charged(lesson):
    used = {}
    for beta in (0.0, 0.1):
        from dataclasses import replace

        some = replace(lesson, config=replace(lesson.config, beta=beta))
        policy = make_policy(copy.deepcopy(model(0)), some.config)
        used[beta] = METHODS["rl"](policy, some, 1).account.student
    assert used[0.1] == pytest.approx(used[0.0] * 5 / 4)
    # Own samples cost a student as much to learn as reward does without that term: each prompt is read once for its group.
    own = METHODS["on-policy"](make_policy(copy.deepcopy(model(0)), lesson.config), lesson, 1).account.student
    assert own == pytest.approx(used[0.0])


def test_log_probs_of_the_second_task_fall_when_its_demonstrations_are_learnt(lesson):
    from lab.core.grpo.params import also_of
    from lab.core.r1_distill.evaluation import _loss, other_demonstrations

    other = other_demonstrations(also_of(PARAMS), TASK, Mixture(), seed=0)
    policy = make_policy(model(0), lesson.config)
    before = _loss(policy.model, other)
    logp, _ = log_probs(policy.model, other)
    assert before == pytest.approx(-float(logp.detach().sum()) / float(other.lengths.sum()))
    for step in range(1, 11):
        METHODS["sft-demos"](policy, lesson, step)
    assert _loss(policy.model, other) < before
