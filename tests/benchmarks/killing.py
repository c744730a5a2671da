"""Start medimg and kill it at a moment: what the proofs against lost work share."""

import signal
import subprocess
import sys
from pathlib import Path


def command(*arguments: str, workspace: Path) -> list[str]:
    """Return the command line of a quiet medimg in `workspace`."""
    return [sys.executable, "-m", "medimg_cli", *arguments, "--quiet", "--json", "-C", str(workspace)]


def medimg(*arguments: str, workspace: Path) -> None:
    """Run medimg to its end; raises `CalledProcessError` when it fails."""
    subprocess.run(command(*arguments, workspace=workspace), check=True, stdout=subprocess.DEVNULL)


def is_killed(*arguments: str, workspace: Path, after_seconds: float) -> bool:
    """Start medimg, kill it (SIGKILL) and return whether it was still at work."""
    with subprocess.Popen(command(*arguments, workspace=workspace), stdout=subprocess.DEVNULL) as process:
        try:
            process.wait(after_seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
    return process.returncode == -signal.SIGKILL


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
