"""What the server of trial processes loads first, and nobody else may: it makes this process such a server.

It hears no key and no hanging up, which are the runner's business; when the runner ends it ends every trial and whatever
trials have started, then itself.
"""

import os
import signal
import sys
import warnings
from types import TracebackType

from .descendants import ASKED_TO_END, adopt, end_children, end_with_parent


def _end(number: int, frame: object) -> None:
    end_children(os.getpid())
    os._exit(0)


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    print(f"the process that starts trials has ended: {kind.__name__} {error}", file=sys.stderr)


sys.excepthook = _tell
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
signal.signal(signal.SIGTERM, _end)
adopt()
end_with_parent(signal.SIGTERM)
signal.pthread_sigmask(
    signal.SIG_UNBLOCK, ASKED_TO_END
)  # blocked by the runner until somebody was there to hear
warnings.filterwarnings("ignore", "forkserver: waitpid")  # it says so of each one adopted
