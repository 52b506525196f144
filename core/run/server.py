"""Turns this process into the server of trial processes; nothing else may import it.

It ignores Ctrl-C and hangups, which the runner handles. When the runner ends, the server ends every trial and what trials
have started, then itself.
"""

import os
import signal
import sys
import warnings
from types import TracebackType

from .descendants import END_SIGNALS, adopt, end_children, end_with_parent


def _end(number: int, frame: object) -> None:
    end_children(os.getpid())
    os._exit(0)


def _print(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    print(f"the process that starts trials has ended: {kind.__name__} {error}", file=sys.stderr)


sys.excepthook = _print
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
signal.signal(signal.SIGTERM, _end)
adopt()
end_with_parent(signal.SIGTERM)
# Blocked by the runner until these handlers were installed.
signal.pthread_sigmask(signal.SIG_UNBLOCK, END_SIGNALS)
warnings.filterwarnings("ignore", "forkserver: waitpid")  # it says so of each one adopted
