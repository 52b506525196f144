"""What `arguments.packed` has packed, as kernels read it."""

from __future__ import annotations

from numba import carray, types  # type: ignore[attr-defined]

from ...compiled.kernel import inlined
from ...compiled.vectors import address_as, load_double, load_long
from .arguments import Common, Extras, Mask, Rows, Task

OWN = 46
"""The place of the first number that is of one kernel alone."""
COUNTER = 8 * (OWN - 1)
"""In bytes, the place of the counter."""
_floats, _ints, _bytes = address_as(types.float32), address_as(types.int32), address_as(types.uint8)


@inlined
def read(job):  # type: ignore[no-untyped-def]
    """The `Common` at an address."""
    return Common(
        rows(job), rows(job + 32), rows(job + 64), rows(job + 96),
        Mask(
            load_long(job, 16), load_long(job, 17), load_long(job, 18),
            load_long(job, 19), load_long(job, 20), load_long(job, 21),
        ),
        Task(
            load_long(job, 22), load_long(job, 23), load_long(job, 24), load_long(job, 25), load_long(job, 26),
            load_long(job, 27), load_long(job, 28), load_long(job, 29), load_long(job, 30), load_long(job, 31),
            load_double(job, 32),
        ),
        Extras(
            load_long(job, 33), load_long(job, 34), load_long(job, 35), load_long(job, 36),
            load_long(job, 37), load_long(job, 38), load_double(job, 39), load_double(job, 40),
        ),
        load_long(job, 41), load_long(job, 42), load_long(job, 43), load_long(job, 44), 0,
    )  # fmt: skip


@inlined
def scratch_of(common, index):  # type: ignore[no-untyped-def]
    """The address of a thread's own scratch memory."""
    return common.shared + common.shared_bytes + index * common.scratch_bytes


@inlined
def rows(at):  # type: ignore[no-untyped-def]
    """The `Rows` at an address."""
    return Rows(load_long(at, 0), load_long(at, 1), load_long(at, 2), load_long(at, 3))


@inlined
def floats(address, size):  # type: ignore[no-untyped-def]
    """Memory as an array of float32, whose loops compilers turn to vectors."""
    return carray(_floats(address), (size,))


@inlined
def ints(address, size):  # type: ignore[no-untyped-def]
    """Memory as an array of int32."""
    return carray(_ints(address), (size,))


@inlined
def octets(address, size):  # type: ignore[no-untyped-def]
    """Memory as an array of bytes."""
    return carray(_bytes(address), (size,))
