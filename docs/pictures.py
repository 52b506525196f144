"""Makes the README's pictures of the screen and of the report: `python docs/pictures.py` (needs tmux and Chromium).

The screen is that of a real quick run of `grpo`, caught while it trains. The report is results/report.html as `lab report`
last wrote it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

HERE = Path(__file__).parent
COLUMNS, LINES = 80, 24
PATIENCE = 900  # seconds
CHROMIUM = [
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--window-size=1280,1000",
]  # fmt: skip


def screen(command: str, until: str, picture: Path) -> None:
    """Run a command on a terminal of its own, and draw what it shows once it shows `until`."""
    with tempfile.TemporaryDirectory() as folder:
        tmux = ["tmux", "-L", "lab-pictures"]
        size = ["-x", str(COLUMNS), "-y", str(LINES)]
        subprocess.run([*tmux, "new-session", "-d", *size, "-c", folder, command], check=True)
        try:
            deadline = time.monotonic() + PATIENCE
            shown = ""
            while until not in shown:
                if time.monotonic() > deadline:
                    sys.exit(f"{command}: {until} was not shown in {PATIENCE} s")
                time.sleep(0.5)
                caught = subprocess.run(
                    [*tmux, "capture-pane", "-e", "-p"], capture_output=True, text=True, check=False
                )
                if caught.returncode:
                    sys.exit(f"{command} ended before it showed {until}")
                shown = caught.stdout
        finally:
            subprocess.run([*tmux, "kill-server"], check=False)
    console = Console(record=True, width=COLUMNS, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(Text.from_ansi(shown.rstrip()))
    svg = console.export_svg(title=command)
    # rich names a font on a server; whoever looks at the picture asks nobody for one.
    picture.write_text(
        re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL).replace("Fira Code", "monospace")
    )


def report(page: Path, picture: Path) -> None:
    """The first screen of a report."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None or not page.exists():
        sys.exit(f"needs chromium and {page}: lab report")
    with tempfile.TemporaryDirectory() as profile:
        options = [*CHROMIUM, f"--user-data-dir={profile}", f"--screenshot={picture}"]
        subprocess.run([browser, *options, page.resolve().as_uri()], check=True, capture_output=True)


if __name__ == "__main__":
    screen("lab run grpo --quick --seeds 3", "1 of 3", HERE / "live-grpo.svg")
    report(Path("results/report.html"), HERE / "report.png")
