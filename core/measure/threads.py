"""Holds every library to the trial's number of threads."""

from __future__ import annotations

import os
import sys
from typing import Any


def thread_environment(threads: int) -> dict[str, str]:
    """The environment a process must have before it imports torch.

    With a busy neighbour OpenMP's default of waiting actively makes a 0.4 ms softmax on two threads take 7.5 ms:
    threads spin on a core that the one they wait for would need. The library reads this once, when it is loaded.
    """
    numbers = (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "NUMBA_NUM_THREADS",
    )
    # Intel's and LLVM's OpenMP go on spinning for a while even when told to be passive, unless the while is 0 ms.
    waiting = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
    return waiting | dict.fromkeys(numbers, str(threads))


def use_threads(n: int) -> None:
    """Let torch, and Numba when it is imported, now or later, work on `n` threads in this process.

    Raises ValueError: for less than one thread, or more than Numba was started with (`NUMBA_NUM_THREADS`).
    """
    if n < 1:
        raise ValueError(f"threads must be at least 1, not {n}")
    import torch

    torch.set_num_threads(n)
    if "numba" in sys.modules and _numba_has_threads():
        import numba

        numba.set_num_threads(n)
        return
    os.environ["NUMBA_NUM_THREADS"] = str(n)  # Numba reads it when it is imported
    if "numba" in sys.modules:
        import numba
        from numba.np.ufunc import parallel

        # How many it will start. `set_num_threads` would start them, which few kernels use, and in a process that was
        # forked with Numba loaded leave a semaphore behind.
        settings: Any = numba.config
        settings.NUMBA_NUM_THREADS = parallel.NUM_THREADS = n


def _numba_has_threads() -> bool:
    """Whether Numba's own threads have been started; their largest number is fixed then."""
    from numba.np.ufunc.parallel import threading_layer

    try:
        threading_layer()  # type: ignore[no-untyped-call]
    except ValueError:
        return False
    return True
