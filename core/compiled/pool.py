"""Threads of our own in compiled code: what they do, and how a caller lets them take part.

A thread without work looks for some for a moment, awake, and then sleeps: to be woken takes up to 100 µs in a virtual
machine, as long as a short kernel takes, and the next call often comes sooner. Nobody waits for one that has not begun.

The words of a pool lie apart from each other, because a processor moves whole lines of its cache:

    BUSY     1 while a caller has the pool; another works alone
    EPOCH    odd while work is open; beside it FUNCTION and DATA, and PLACES: how many may still join
    INSIDE   how many look at the work or do it; until it is 0 the caller's memory is in use
    ASLEEP   how many wait for a message, or are about to
    READ     the files that messages of 8 bytes come from and, in WRITE, go to; ONE, a message; the number of the CLOCK, and
             how long one stays AWAKE, in ns
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from .atomics import add, call, load, put
from .kernel import c_function, inlined, kernel

BUSY, EPOCH, INSIDE, ASLEEP, READ, SIZE = range(0, 768, 128)
"""Bytes from the pool's address."""
FUNCTION, DATA, PLACES = EPOCH + 8, EPOCH + 16, EPOCH + 24
WRITE, ONE, CLOCK, AWAKE = READ + 8, READ + 16, READ + 24, READ + 32

_LOOKS = 1000
"""Of a caller at a thread that is still at work, before it lets others have the processor: some µs."""

# Of the C library. Addresses are numbers here.
_read: Any = types.ExternalFunction("read", types.int64(types.int32, types.int64, types.int64))
_write: Any = types.ExternalFunction("write", types.int64(types.int32, types.int64, types.int64))
_clock: Any = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.int64))
_give_way: Any = types.ExternalFunction("sched_yield", types.int32())


@inlined
def _now(pool, room):  # type: ignore[no-untyped-def]
    _clock(load(pool + CLOCK), room)
    return load(room) * 1_000_000_000 + load(room + 8)


@inlined
def _next(pool, seen, room):  # type: ignore[no-untyped-def]
    """The first epoch in which work is open, other than the one `seen`."""
    since = _now(pool, room)
    while True:
        epoch = load(pool + EPOCH)
        if epoch & 1 and epoch != seen:
            return epoch
        if _now(pool, room) - since > load(pool + AWAKE):
            add(pool + ASLEEP, 1)
            # Who opens work does so before looking for sleepers, and this looks for work after becoming one. Where both see
            # the other there is a message too many, which wakes somebody for nothing, once.
            if load(pool + EPOCH) == epoch:
                _read(load(pool + READ), room, 8)
            since = _now(pool, room)


@kernel
def serve(pool, room):  # type: ignore[no-untyped-def]
    """Take part in what is opened, for ever. `room` is the address of 16 bytes of this thread's own."""
    seen = 0
    while True:
        seen = _next(pool, seen, room)
        add(pool + INSIDE, 1)
        if load(pool + EPOCH) == seen and add(pool + PLACES, -1) > 0:
            call(load(pool + FUNCTION), load(pool + DATA))
        add(pool + INSIDE, -1)


def _parallel(function: Any, data: Any, threads: Any, flags: Any) -> None:
    """GOMP_parallel by a pool: function(data) on this thread, and on others if they come before it returns.

    As shares.py has it, the first word of the data is the address of the team, of the words in team.py, and the third the number
    of shares.
    """
    team, others = load(data), min(np.int64(threads), load(data + 16)) - 1
    pool = load(team + 16)
    if others < 1 or put(pool + BUSY, 1):
        call(function, data)
        return
    put(pool + FUNCTION, function)
    put(pool + DATA, data)
    put(pool + PLACES, others)
    add(pool + EPOCH, 1)
    if load(team + 24):
        asleep = put(pool + ASLEEP, 0)
        needed = min(asleep, others)
        if asleep > needed:
            add(pool + ASLEEP, asleep - needed)
        for _ in range(needed):
            _write(load(pool + WRITE), pool + ONE, 8)
    call(function, data)
    add(pool + EPOCH, 1)
    looks = 0
    while load(pool + INSIDE):
        looks += 1
        if looks > _LOOKS:
            _give_way()
    put(pool + BUSY, 0)


PARALLEL, _kept = c_function(_parallel, "void(int64, int64, int32, int32)")
