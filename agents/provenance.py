"""Which code a result was made with, and with which arguments."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def commit(folder: Path = ROOT) -> str:
    """The commit of a checkout, "+dirty" behind it where tracked files are not as they were committed; "" outside of one."""
    head = _git(folder, "rev-parse", "HEAD")
    return head + "+dirty" * bool(head and _git(folder, "status", "--porcelain", "--untracked-files=no"))


def check_same_run(folder: Path, arguments: Mapping[str, Any], may_change: Collection[str] = ()) -> None:
    """Refuses to go on with a run of other arguments: what it learned before would be told as learned with these.

    Args:
        folder: of the run; its `config.json` holds what it was begun with, under "arguments".
        arguments: of now.
        may_change: names of those that may have another value.

    Raises:
        ValueError: names them, with both values.
    """
    before = json.loads((folder / "config.json").read_text())["arguments"]
    other = [
        f"{name}={before[name]!r}, now {value!r}"
        for name, value in arguments.items()
        if name not in may_change and name in before and before[name] != value
    ]
    if other:
        raise ValueError(f"{folder} is a run with {'; '.join(other)}: give the same arguments, another --out, or no --resume")


def _git(folder: Path, *command: str) -> str:
    """What git says, or ""; it takes no lock, since others may work in the checkout."""
    line = ["git", "--no-optional-locks", "-C", str(folder), *command]
    return subprocess.run(line, capture_output=True, text=True, check=False).stdout.strip()
