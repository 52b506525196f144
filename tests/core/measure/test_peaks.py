import time

import psutil
import pytest
import torch

from lab.core.measure import peaks as measured
from lab.core.measure.caches import last_level_cache
from lab.core.measure.peaks import MATMUL_SIZES, measure_peaks


@pytest.fixture(scope="module")
def peaks_and_elapsed():
    begin = time.perf_counter()
    peaks = measure_peaks()
    return peaks, time.perf_counter() - begin


def test_rates_fit_the_time_that_passed(peaks_and_elapsed):
    """The best product and the best copy took no longer than everything together; and no CPU is a supercomputer."""
    peaks, elapsed = peaks_and_elapsed
    assert 2 * peaks.matmul_size**3 / (peaks.matmul_gflops * 1e9) < elapsed
    assert 2 * peaks.copy_bytes / (peaks.copy_gb_per_s * 1e9) < elapsed
    assert peaks.matmul_gflops < 1e5
    assert peaks.copy_gb_per_s < 1e4


def test_peaks_say_how_they_were_measured(peaks_and_elapsed):
    peaks, _ = peaks_and_elapsed
    assert peaks.matmul_size in MATMUL_SIZES
    assert (peaks.dtype, peaks.device, peaks.threads) == ("float32", "cpu", torch.get_num_threads())


def test_the_copy_does_not_fit_the_cache(peaks_and_elapsed):
    peaks, _ = peaks_and_elapsed
    cache = last_level_cache(torch.get_num_threads())
    if cache is None or 4 * cache > psutil.virtual_memory().available // 16:
        pytest.skip("the cache is unknown, or the memory too small")
    assert peaks.copy_bytes >= 4 * cache


def test_without_a_budget_the_smallest_product_and_one_copy_are_measured():
    peaks = measure_peaks("float64", budget_seconds=0)
    assert peaks.matmul_size == 512
    assert peaks.dtype == "float64"
    assert peaks.matmul_gflops > 0
    assert peaks.copy_gb_per_s > 0


def test_rates_are_the_operations_and_bytes_of_a_call_over_its_seconds(monkeypatch):
    """With seconds that are known: an n x n product has 2 n³ operations, a copy reads and writes each byte."""
    monkeypatch.setattr(measured, "_samples", lambda call, device, deadline: iter([0.5, 0.25, 0.5]))
    monkeypatch.setattr(measured, "_copy_size", lambda device: 1 << 20)
    monkeypatch.setattr(measured, "loop_rates", lambda size, threads, samples: (0.001,))
    peaks = measure_peaks("float64", budget_seconds=0)
    assert (peaks.matmul_size, peaks.copy_bytes) == (512, 1 << 20)
    assert peaks.matmul_gflops == pytest.approx(2 * 512**3 / 0.25 / 1e9)
    assert peaks.copy_gb_per_s == pytest.approx(2 * (1 << 20) / 0.25 / 1e9)


@pytest.mark.parametrize("dtype", ["int8", "float33", "nn"])
def test_a_dtype_without_products_is_refused(dtype):
    with pytest.raises(ValueError, match=dtype):
        measure_peaks(dtype)
