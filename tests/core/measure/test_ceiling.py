"""The FMA peak counts what it did, copies copy, and what a stored run is compared with is called what it is."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

import numpy as np
import pytest

from lab.core.measure import fma as measured
from lab.core.measure.caches import Cache
from lab.core.measure.ceiling import ceiling_of, copies_of, fastest_copy, in_repeat, peak_words, with_repeats
from lab.core.measure.copies import CopyRate, least_seconds, measure_copies
from lab.core.measure.fma import Miscounted, measure_fma

numba = pytest.importorskip("numba")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_each_loop_does_all_of_its_multiply_adds_on_each_thread(dtype: str) -> None:
    """s ← s·x + y from other values than 1, so that neither factor, sum nor round can be left out."""
    from lab.core.measure import loops
    from lab.core.measure.together import seconds_together

    x, y, rounds, kind = 0.5, 3.0, 12, np.dtype(dtype)
    for which, (bits, sums) in enumerate((bits, sums) for bits in loops.BITS for sums in loops.CHAINS):
        numbers = sums * bits // (8 * kind.itemsize)
        start = np.concatenate([[x, y], np.arange(numbers)]).astype(kind)
        found = np.full((2, numbers + 1), -1, kind)

        def work(
            thread: int, counter: int, which: int = which, start: object = start, found: object = found
        ) -> None:
            loop = loops.MULTIPLY_ADDS[dtype]
            loop(which, counter, 2, rounds, start.ctypes.data, found[thread].ctypes.data)  # type: ignore[attr-defined, index]

        assert seconds_together(work, 2) > 0
        expected = start[2:].astype(float)
        for _ in range(rounds):
            expected = expected * x + y
        assert (found[:, -1] == -1).all(), "beyond the last sum nothing is written"
        np.testing.assert_allclose(found[:, :-1], np.tile(expected, (2, 1)), rtol=1e-6)


def test_the_peak_is_the_best_sample_of_the_best_width(monkeypatch: pytest.MonkeyPatch) -> None:
    from lab.core.measure import loops

    monkeypatch.setattr(loops, "BITS", (128, 256))
    monkeypatch.setattr(loops, "CHAINS", (8, 16))
    rates = {0: [10.0, 11.0], 1: [12.0, 9.0], 2: [20.0, 21.0], 3: [19.0, 5.0]}
    monkeypatch.setattr(
        measured, "rates", lambda dtype, threads, which, samples: (rates[which] * samples)[:samples]
    )
    found = measure_fma("float32", 1, samples=4)
    assert (found.gflops, found.bits, found.sums) == (21.0, 256, 8)
    assert found.by_bits == {"128": 12.0, "256": 21.0}
    assert found.samples == (20.0, 21.0, 20.0, 21.0, 20.0, 21.0)


def test_a_rate_is_two_operations_for_each_multiply_add_over_the_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from lab.core.measure import loops, together

    def seconds(work: object, threads: int) -> float:
        together_seconds(work, threads)  # type: ignore[arg-type]
        return 0.5

    together_seconds = together.seconds_together
    monkeypatch.setattr(together, "seconds_together", seconds)
    monkeypatch.setattr(measured, "OPERATIONS", 8 * 1024)
    (rate,) = measured.rates("float32", 1, 0, 1)
    vectors = loops.BITS[0] // 32
    assert rate == pytest.approx(
        2 * vectors * 8 * (8 * 1024 // loops.CHAINS[0] // 4 * 4) / 8 * loops.CHAINS[0] / 0.5e9
    )


def test_a_loop_that_does_less_is_no_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    from lab.core.measure import loops

    def lazy(which: int, counter: int, threads: int, rounds: int, start: int, to: int) -> None:
        loops.float32(which, counter, threads, rounds - 4, start, to)

    monkeypatch.setitem(loops.MULTIPLY_ADDS, "float32", lazy)
    with pytest.raises(Miscounted, match="did not count to"):
        next(iter(measured.rates("float32", 1, 0, 1)))


def test_copies_copy_and_nothing_beside() -> None:
    from lab.core.measure.loops import STEP, copy

    source = np.arange(5 * STEP, dtype=np.uint8)
    target = np.full(7 * STEP, 7, np.uint8)
    counter = np.zeros(1, np.int64)
    copy(counter.ctypes.data, 1, 3, target.ctypes.data + STEP, source.ctypes.data, 5)
    assert (target[STEP:-STEP] == source).all() and (target[:STEP] == 7).all() and (target[-STEP:] == 7).all()


def test_each_cache_has_a_rate_and_fits_what_was_copied() -> None:
    found = measure_copies([Cache("L1d", 32768, 2), Cache("L2", 1 << 20, 1)], threads=2, samples=2)
    assert [(rate.level, rate.capacity) for rate in found] == [("L1", 65536), ("L2", 1 << 20)]
    for rate, below in zip(found, (0, 32768), strict=True):
        assert rate.gb_per_s == max(rate.samples) > 0
        assert below < rate.bytes <= rate.capacity // 2 // 2, "of one thread's part no more than a half"


CACHES = [
    CopyRate("L1", 200.0, (), 0, 1000),
    CopyRate("L2", 100.0, (), 0, 9000),
    CopyRate("memory", 10.0, (), 0, None),
]


@pytest.mark.parametrize(
    ("moved", "nanoseconds"),
    [
        (0, 0),
        (1000, 5),
        (2000, 5 + 10),
        (9000, 5 + 80),
        (10_000, 5 + 80 + 100),
        (1e9, 85 + (1e9 - 9000) / 10),
    ],
)
def test_what_fits_into_a_cache_comes_at_its_rate(moved: float, nanoseconds: float) -> None:
    assert least_seconds(moved, CACHES) == pytest.approx(nanoseconds * 1e-9)


def stored(**peaks: object) -> dict[str, object]:
    """As JSON holds it."""
    made: dict[str, object] = json.loads(json.dumps(peaks))
    return made


def test_the_ceiling_of_a_repeat_is_the_higher_of_its_two_neighbours() -> None:
    peaks = with_repeats([stored(fma={"gflops": rate}, matmul_gflops=50.0) for rate in (100.0, 90.0, 95.0)])
    assert [in_repeat(peaks, repeat) for repeat in range(4)] == [100.0, 95.0, 95.0, 100.0]
    missing = with_repeats([stored(fma={"gflops": 100.0}), stored(fma=None), stored(fma=None)])
    assert [in_repeat(missing, repeat) for repeat in range(2)] == [100.0, 100.0]


def test_a_product_in_units_of_its_own_is_the_ceiling() -> None:
    assert ceiling_of(stored(fma={"gflops": 100.0}, matmul_gflops=103.0)).name == "FMA peak"  # type: ignore[union-attr]
    beyond = ceiling_of(stored(fma={"gflops": 100.0}, matmul_gflops=450.0))
    assert beyond is not None and (beyond.name, beyond.gflops) == ("best product", 450.0)
    assert (
        in_repeat(stored(fma={"gflops": 100.0}, matmul_gflops=450.0, fma_by_repeat=[100.0, 99.0]), 0) == 450.0
    )


def test_copies_of_caches_and_of_an_earlier_version() -> None:
    new = stored(copies=[asdict(rate) for rate in CACHES], copy_gb_per_s=10.0)
    assert [(rate.level, rate.gb_per_s, rate.capacity) for rate in copies_of(new)] == [
        (rate.level, rate.gb_per_s, rate.capacity) for rate in CACHES
    ]
    assert fastest_copy(new, 2000) == pytest.approx(2000 / 15)
    old = stored(matmul_gflops=80.0, copy_gb_per_s=12.0)
    assert fastest_copy(old, 2000) == pytest.approx(12)
    assert fastest_copy({}, 2000) is None


@pytest.mark.parametrize(
    "bad", [None, "fast", [], {}, True, -1.0, 0, math.inf, {"gflops": "many"}, [1, {"level": 2}]]
)
def test_a_damaged_file_has_no_peak_and_breaks_nothing(bad: object) -> None:
    peaks = dict.fromkeys(
        ("fma", "matmul_gflops", "copies", "copy_gb_per_s", "fma_by_repeat", "threads"), bad
    )
    assert ceiling_of(peaks) is None and in_repeat(peaks, 1) is None and fastest_copy(peaks, 8.0) is None
    list(peak_words(peaks))
    with_repeats([peaks])


def test_library_and_width_are_said() -> None:
    fma = {
        "gflops": 256.0,
        "bits": 512,
        "sums": 8,
        "dtype": "float32",
        "by_bits": {"128": 64.0, "256": 129.0, "512": 256.0},
    }
    common = {"fma": fma, "dtype": "float32", "threads": 1, "matmul_size": 1024}
    slow = dict(peak_words(stored(**common, matmul_gflops=108.0, matmul_library="mkl", matmul_bits=None)))
    assert "vectors of 512 bits" in slow["FMA peak"] and "256 GFLOP/s" in slow["FMA peak"]
    assert "108 GFLOP/s" in slow["best product"] and "mkl" in slow["best product"]
    assert "256 bits or more" in slow["best product"], "narrower vectors cannot be so fast"
    fast = dict(peak_words(stored(**common, matmul_gflops=218.0, matmul_library="onednn", matmul_bits=512)))
    assert "onednn, n = 1,024, vectors of 512 bits)" in fast["best product"]
    old = dict(peak_words(stored(matmul_gflops=80.0, matmul_size=512, copy_gb_per_s=12.0, threads=2)))
    assert list(old) == ["PyTorch's matmul", "copies", "ceiling"]
