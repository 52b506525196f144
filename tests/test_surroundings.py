"""The tests inherit nothing from whoever starts them that changes what they see; `conftest.py` sees to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path


def test_a_test_has_its_own_temporary_folder_a_working_ctrl_c_and_no_pythonpath() -> None:
    assert tempfile.gettempdir() == os.environ["TMPDIR"] and Path(os.environ["TMPDIR"]).name.startswith("lab")
    assert (
        len(tempfile.gettempdir() + "/pymp-xxxxxxxx/listener-xxxxxxxx") < 104
    )  # the name of a socket on macOS
    assert "PYTHONPATH" not in os.environ
    assert signal.getsignal(signal.SIGINT) != signal.SIG_IGN
    code = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
