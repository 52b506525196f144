"""Kernels that are compiled before the work which calls them; a subject's `kernels` names them, see `core.trial`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ..trial import Kernel, Refused


def groups(kernels: Iterable[Kernel]) -> dict[str, list[Kernel]]:
    """The kernels that one process compiles each, those which take longest first."""
    found: dict[str, dict[str, Kernel]] = {}
    for kernel in kernels:
        found.setdefault(kernel.together, {})[kernel.name] = kernel
    lists = {together: list(by_name.values()) for together, by_name in found.items()}
    return dict(sorted(lists.items(), key=lambda item: -_seconds(item[1])))


def seconds_to_compile(kernels: Iterable[Kernel], workers: int) -> float:
    """Until the last is compiled, by so many processes side by side."""
    each = [_seconds(group) for group in groups(kernels).values()]
    return max([sum(each) / workers, *each])


def _seconds(kernels: Sequence[Kernel]) -> float:
    return sum(kernel.seconds for kernel in kernels)


class _NotKept(BaseException):
    """Stops Numba where it would compile. No error that anything in between would handle."""


def not_kept(kernels: Iterable[Kernel]) -> list[Kernel]:
    """Those that no earlier process has compiled for this machine; the others are loaded."""
    from numba.core import event

    class Stop(event.Listener):
        def on_start(self, event: object) -> None:
            raise _NotKept

        def on_end(self, event: object) -> None:
            pass

    found = []
    with event.install_listener("numba:compile", Stop()):
        for kernel in kernels:
            try:
                kernel.call()
            except _NotKept:
                found.append(kernel)
            except Refused:  # on this machine
                pass
    return found


def compile_now(kernels: Sequence[Kernel], on_kernel: Callable[[int, int, str], None]) -> None:
    """Compile and keep them. `on_kernel` gets how many are done, of how many, and which is next."""
    for done, kernel in enumerate(kernels):
        on_kernel(done, len(kernels), kernel.name)
        kernel.call()
