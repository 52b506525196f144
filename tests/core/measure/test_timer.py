import gc
import itertools
import time
import weakref

import pytest

from lab.core.measure import timer
from lab.core.measure.timer import time_blocks, timer_name

# Long enough that one repeat makes a sample, whatever the machine does.
PAUSE = 0.021


def logging_calls(log, names="abc"):
    def make(name):
        def call():
            log.append(name)
            time.sleep(PAUSE)

        return call

    return {name: make(name) for name in names}


def blocks_of(seed, blocks=5):
    """The order of the calls in each block; two calls of each come before, as warm-up."""
    log = []
    time_blocks(logging_calls(log), seed=seed, budget_seconds=0, min_blocks=blocks)
    assert log[:6] == list("abcabc")
    return [tuple(log[at : at + 3]) for at in range(6, len(log), 3)]


def test_every_block_passes_once_over_all_calls_in_a_seeded_order():
    blocks = blocks_of(seed=1)
    assert len(blocks) == 5
    assert all(sorted(block) == ["a", "b", "c"] for block in blocks)
    assert len(set(blocks)) > 1, "the order is drawn anew for each block"
    assert blocks_of(seed=1) == blocks
    assert blocks_of(seed=2) != blocks


def test_samples_are_seconds_for_one_call():
    seconds = time_blocks(logging_calls([], "a"), budget_seconds=0)
    assert len(seconds["a"]) == 3
    assert all(PAUSE <= sample < 60 for sample in seconds["a"])


def test_a_short_call_is_repeated_and_its_sample_divided():
    calls = 0
    calls_after_block = []

    def call():
        nonlocal calls
        calls += 1

    begin = time.perf_counter()
    seconds = time_blocks(
        {"short": call},
        budget_seconds=0,
        min_blocks=6,
        on_block=lambda done, expected: calls_after_block.append(calls),
    )["short"]
    elapsed = time.perf_counter() - begin

    per_block = [after - before for before, after in itertools.pairwise(calls_after_block)]
    assert len(set(per_block)) == 1, "the number of repeats is fixed after the warm-up"
    assert per_block[0] > 10
    assert sum(seconds) * per_block[0] <= elapsed, "a sample that is not divided would add up to more"


@pytest.mark.parametrize(("longest", "of_each"), [(60, 2), (PAUSE / 2, 1)])
def test_samples_of_short_calls_begin_with_one_that_is_not_timed_where_they_are_to_settle(
    longest, of_each, monkeypatch
):
    monkeypatch.setattr(timer, "_LONG_CALL", longest)
    log, ends = [], []
    seconds = time_blocks(
        logging_calls(log, "ab"), budget_seconds=0, settle=True, on_block=lambda *_: ends.append(len(log))
    )
    blocks = [log[first:last] for first, last in itertools.pairwise(ends)]
    assert [(block.count("a"), block.count("b")) for block in blocks] == [(of_each, of_each)] * 2
    assert all(each >= PAUSE for each in seconds["a"]) and len(seconds["a"]) == 3


def test_budget_and_bounds_decide_the_number_of_blocks():
    calls = {"a": lambda: None, "b": lambda: None}
    assert {name: len(taken) for name, taken in time_blocks(calls, budget_seconds=0).items()} == {
        "a": 3,
        "b": 3,
    }
    assert len(time_blocks(calls, budget_seconds=1e9, max_blocks=7)["a"]) == 7


def test_a_block_that_does_not_fit_is_not_begun():
    # The warm-up alone takes two pauses; a budget of one leaves room for no block beyond the least.
    seconds = time_blocks(logging_calls([], "a"), budget_seconds=PAUSE, min_blocks=2, max_blocks=50)
    assert len(seconds["a"]) == 2


def test_progress_ends_where_it_was_expected():
    calls = []
    time_blocks({"a": lambda: None}, budget_seconds=1e9, max_blocks=4, on_block=lambda *at: calls.append(at))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_result_is_dropped_before_the_next_call():
    class Result:
        pass

    previous = None

    def call():
        nonlocal previous
        assert previous is None or previous() is None
        result = Result()
        previous = weakref.ref(result)
        return result

    time_blocks({"one": call, "other": call}, budget_seconds=0)


def test_the_garbage_collector_is_held_and_let_go_again():
    active = set()
    time_blocks({"a": lambda: active.add(gc.isenabled())}, budget_seconds=0)
    assert active == {False}
    assert gc.isenabled()

    with pytest.raises(ZeroDivisionError):
        time_blocks({"a": lambda: 1 / 0}, budget_seconds=0)
    assert gc.isenabled()


def test_cycles_a_call_leaves_are_gone_after_its_block():
    class Knot:
        def __init__(self):
            self.self = self

    left = []

    def call():
        left.append(weakref.ref(Knot()))
        time.sleep(PAUSE)

    alive_after_block = []
    time_blocks(
        {"a": call},
        budget_seconds=0,
        on_block=lambda *_: alive_after_block.append(sum(knot() is not None for knot in left)),
    )
    assert alive_after_block == [0, 0, 0]


def test_what_cannot_be_timed_is_refused():
    assert time_blocks({}) == {}
    with pytest.raises(ValueError, match="no timer for device 'tpu'"):
        time_blocks({"a": lambda: None}, device="tpu")
    with pytest.raises(ValueError, match="min_blocks"):
        time_blocks({"a": lambda: None}, min_blocks=5, max_blocks=4)


def test_timers_have_names():
    assert timer_name() == "perf_counter_ns"
    assert timer_name("cuda") == "cuda events"


@pytest.mark.skipif("not __import__('torch').cuda.is_available()", reason="needs CUDA")
def test_cuda_events_cover_the_kernel_and_not_only_its_launch():
    import torch

    x = torch.randn(4096, 4096, device="cuda")
    seconds = time_blocks({"once": lambda: x @ x, "ten": lambda: [x @ x for _ in range(10)]}, device="cuda")
    assert min(seconds["ten"]) > 3 * min(seconds["once"])
