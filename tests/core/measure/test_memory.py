import sys

import numpy as np
import pytest
import torch

from lab.core.measure.memory import memory_of
from lab.core.measure.resident import resident_rise

MB = 1_000_000
SIZES = [4, 50]

linux = pytest.mark.skipif(sys.platform != "linux", reason="the resident set is read from /proc")


def floats(megabytes):
    return int(megabytes * MB / 4)


def one(megabytes):
    return lambda: torch.ones(floats(megabytes))


def two_at_once(megabytes):
    def call():
        first = torch.ones(floats(megabytes))
        return first.mul(2)

    return call


def one_after_another(megabytes):
    """Three tensors, each larger, each released before the next: only the last one counts."""

    def call():
        for share in (0.5, 0.75, 1.0):
            torch.ones(floats(share * megabytes))

    return call


@pytest.mark.parametrize(
    ("shape_of_call", "live"),
    [(one, 1), (two_at_once, 2), (one_after_another, 1)],
    ids=lambda value: getattr(value, "__name__", None),
)
@pytest.mark.parametrize("megabytes", SIZES)
def test_allocated_is_exact_and_the_resident_set_confirms_it(shape_of_call, live, megabytes):
    # A few bytes: the numbers that ones() and mul() fill with are tensors for a moment.
    memory = memory_of(shape_of_call(megabytes))
    assert memory.allocated == pytest.approx(live * megabytes * MB, abs=100)
    if memory.resident is not None:
        # Each tensor may end in a huge page, of 2 MiB.
        assert memory.resident == pytest.approx(live * megabytes * MB, abs=(1 + 2.1 * live) * MB)
        assert memory.agrees


@linux
@pytest.mark.parametrize("megabytes", SIZES)
def test_the_resident_set_is_right_in_a_heap_full_of_gaps(megabytes):
    """What the process has released before must not hide what the call takes."""
    kept = [torch.ones(floats(size)) for size in (1, 30, 3, 9, 2, 25, 7, 8) for _ in range(3)]
    del kept[::2]
    call = one_after_another(megabytes)
    call()
    assert resident_rise(call) == pytest.approx(megabytes * MB, abs=1 * MB)
    assert len(kept) == 12


def test_the_peak_is_above_the_start_not_above_zero():
    x = torch.ones(floats(40))
    memory = memory_of(lambda: x.add(1).sum())
    assert memory.allocated == pytest.approx(40 * MB, abs=100)


def test_what_is_released_inside_lowers_what_comes_after():
    def call():
        a = torch.ones(floats(8))
        b = a + 1
        del a
        return b + 1

    assert memory_of(call).allocated == pytest.approx(16 * MB, abs=100)


def test_a_release_of_what_was_there_before_is_not_seen():
    """A limit said in `Memory`. Repeated, because a block at an address of an earlier profile is told with its size."""
    for _ in range(5):
        cache = [torch.ones(floats(40))]

        def call(cache=cache):
            cache.clear()
            result = torch.ones(floats(8))
            cache.append(torch.ones(floats(40)))
            return result

        assert memory_of(call).allocated == pytest.approx(48 * MB, abs=100)


def test_what_is_made_once_is_not_the_calls_memory():
    cache = []

    def call():
        if not cache:
            cache.append(torch.ones(floats(40)))
        return cache[0] + 1

    assert memory_of(call).allocated == pytest.approx(40 * MB, abs=100)


def test_a_backward_pass_is_seen():
    x = torch.ones(floats(4), requires_grad=True)

    def call():
        (gradient,) = torch.autograd.grad(x.exp().sum(), x)
        return gradient

    # exp(x) is kept for the backward pass, which makes the gradient out of it.
    assert memory_of(call).allocated == pytest.approx(8 * MB, abs=100)


@linux
def test_memory_that_torch_does_not_know_of_is_flagged():
    memory = memory_of(lambda: np.ones(floats(40), dtype=np.float32))
    assert memory.allocated == 0
    assert memory.resident == pytest.approx(40 * MB, abs=1 * MB)
    assert memory.agrees is False


@linux
def test_memory_that_is_never_written_is_flagged():
    memory = memory_of(lambda: torch.empty(floats(100)))
    assert memory.allocated == 100 * MB
    assert memory.agrees is False


def test_a_small_call_cannot_be_told():
    assert memory_of(one(0.1)).agrees is None


def test_an_unknown_device_is_refused():
    with pytest.raises(ValueError, match="tpu"):
        memory_of(one(1), device="tpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_counts_above_the_start():
    kept = torch.ones(floats(64), device="cuda")
    memory = memory_of(lambda: torch.ones(floats(32), device="cuda"), device="cuda")
    assert memory.allocated == pytest.approx(32 * MB, rel=0.1)
    assert memory.agrees is None
    assert kept.numel()
