"""Sets the number of threads of every library."""

from __future__ import annotations

import os
import sys
from typing import Any


def thread_environment(threads: int) -> dict[str, str]:
    """The environment a process must have before it imports torch.

    OpenMP's threads wait actively by default. With a busy neighbour a 0.4 ms softmax on two threads then takes 7.5 ms,
    since waiting threads occupy the core that the working one needs. The library reads this once, when it is loaded.
    """
    numbers = (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "NUMBA_NUM_THREADS",
    )
    # Intel's and LLVM's OpenMP wait actively for this time even under PASSIVE.
    waiting = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
    return waiting | dict.fromkeys(numbers, str(threads))


def use_threads(n: int) -> None:
    """Set the threads of torch, and of Numba whether it is imported already or later, in this process.

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

        # `set_num_threads` would start the threads, which few kernels use, and leave a semaphore behind in a process that
        # was forked with Numba loaded.
        settings: Any = numba.config
        settings.NUMBA_NUM_THREADS = parallel.NUM_THREADS = n


def _numba_has_threads() -> bool:
    """Whether Numba has started its threads, which fixes their largest number."""
    from numba.np.ufunc.parallel import threading_layer

    try:
        threading_layer()  # type: ignore[no-untyped-call]
    except ValueError:
        return False
    return True
