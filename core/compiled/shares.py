"""Work in shares, done by a team of threads: what compiled code calls. The team comes from team.py."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.callconv import Status, excinfo_ptr_t

from .atomics import call_share
from .kernel import inlined, kernel
from .vectors import INT, LANE, instruction, take

TEAM, COUNTER, SHARES, ERROR, RAISED, ARGUMENTS = range(6)
"""What the caller and its team know of the work, in this order; pool.py reads the first."""


@instruction
def in_shares(context: Any, work: Any, team: Any, shares: Any, arguments: Any) -> Any:
    """(compiled function, team, number, tuple): calls work(i, arguments) for all i below `shares`.

    A share is done by the thread that is free first, the calling one among them, so no result may depend on which does
    it. Without a team (0) the calling thread does all. On return none is at work any more. An error of any share is raised
    here; which of the others were done is then open.

    The team works on the caller's stack, and Python does not interrupt compiled code: what the arguments know by
    address need only live as long as the call.
    """

    def all_shares(counter: Any, shares: Any, arguments: Any) -> Any:
        i = take(counter)
        while i < shares:
            work_on(i, arguments)
            i = take(counter)

    work_on = work.dispatcher
    of_all = types.void(types.int64, types.int64, arguments)

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        _, team, shares, values = given
        compiled = context.compile_subroutine(builder, all_shares, of_all)
        shared = ir.LiteralStructType([INT, INT, INT, LANE, excinfo_ptr_t, values.type])

        def place(builder: Any, data: Any, i: int) -> Any:
            return cgutils.gep_inbounds(builder, data, 0, i)  # type: ignore[no-untyped-call]

        # What each thread runs: void region(void *data).
        kind = ir.FunctionType(ir.VoidType(), [shared.as_pointer()])
        region = ir.Function(builder.module, kind, builder.module.get_unique_name("region"))
        region.linkage = "internal"
        inner, (data,) = ir.IRBuilder(region.append_basic_block()), region.args
        counter = inner.ptrtoint(place(inner, data, COUNTER), INT)
        values_there = (inner.load(place(inner, data, i)) for i in (SHARES, ARGUMENTS))
        status, _ = context.call_internal_no_propagate(
            inner, compiled.fndesc, of_all, [counter, *values_there]
        )
        with cgutils.if_unlikely(inner, status.is_error):  # type: ignore[no-untyped-call]
            inner.store(status.excinfoptr, place(inner, data, RAISED))
            inner.store(status.code, place(inner, data, ERROR))
        inner.ret_void()

        data = cgutils.alloca_once(builder, shared)  # type: ignore[no-untyped-call]
        for i, value in enumerate((team, INT(0), shares, LANE(0))):
            builder.store(value, place(builder, data, i))
        builder.store(values, place(builder, data, ARGUMENTS))
        alone = builder.icmp_signed("==", team, INT(0))
        with builder.if_else(alone) as (on_this_thread, on_several):
            with on_this_thread:
                builder.call(region, [data])
            with on_several:
                # As OpenMP's compilers call: GOMP_parallel(function, data, threads, flags).
                words = builder.inttoptr(team, INT.as_pointer())
                function, threads = (builder.load(builder.gep(words, [INT(i)])) for i in range(2))
                parallel = ir.FunctionType(ir.VoidType(), [kind.as_pointer(), data.type, LANE, LANE])
                at = builder.inttoptr(function, parallel.as_pointer())
                builder.call(at, [region, data, builder.trunc(threads, LANE), LANE(0)])
        code = builder.load(place(builder, data, ERROR))
        with cgutils.if_unlikely(builder, builder.icmp_signed("!=", code, LANE(0))):  # type: ignore[no-untyped-call]
            raised = builder.load(place(builder, data, RAISED))
            fields = dict.fromkeys(Status._fields) | {"code": code, "excinfoptr": raised}
            context.call_conv.return_status_propagate(builder, Status(**fields))
        return context.get_dummy_value()

    return types.void(work, types.int64, types.int64, arguments), generate


@kernel
def on_team(share, team, shares, data):  # type: ignore[no-untyped-def]
    """Call a `kernel.Share`, by its address, with the numbers below `shares`.

    For long kernels: `in_shares` compiles its work inside of whatever calls it, this one finds it compiled.
    """
    in_shares(_call, team, shares, (share, data))


@inlined
def _call(index, arguments):  # type: ignore[no-untyped-def]
    share, data = arguments
    call_share(share, index, data)
