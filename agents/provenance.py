"""Which code a result was made with."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def commit(folder: Path = ROOT) -> str:
    """The commit of a checkout, "+dirty" behind it where tracked files are not as they were committed; "" outside of one."""
    head = _git(folder, "rev-parse", "HEAD")
    return head + "+dirty" * bool(head and _git(folder, "status", "--porcelain", "--untracked-files=no"))


def _git(folder: Path, *command: str) -> str:
    """What git says, or ""; it takes no lock, since others may work in the checkout."""
    line = ["git", "--no-optional-locks", "-C", str(folder), *command]
    return subprocess.run(line, capture_output=True, text=True, check=False).stdout.strip()
