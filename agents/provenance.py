"""Which code a result was made with, and with which arguments."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from argparse import ArgumentTypeError
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def commit(folder: Path = ROOT) -> str:
    """The commit of a checkout, "+dirty" behind it where tracked files are not as they were committed; "" outside of one."""
    head = _git(folder, "rev-parse", "HEAD")
    return head + "+dirty" * bool(head and _git(folder, "status", "--porcelain", "--untracked-files=no"))


def check_same_run(file: Path, arguments: Mapping[str, Any], may_change: Collection[str] = ()) -> None:
    """Refuses to go on with a run of other arguments: what it learned before would be told as learned with these.

    Args:
        file: what it was begun with, under "arguments"; JSON in the run's folder.
        arguments: of now.
        may_change: names of those that may have another value.

    Raises:
        ValueError: names them, with both values; or the file is missing or damaged.
    """
    before = _read(file)["arguments"]
    other = [
        f"{name}={before[name]!r}, now {value!r}"
        for name, value in arguments.items()
        if name not in may_change and name in before and before[name] != value
    ]
    if other:
        raise ValueError(
            f"{file.parent} is a run with {'; '.join(other)}: give the same arguments, another --out, or no --resume"
        )


def begin_run(
    file: Path, record: dict[str, Any], kept: Collection[str], resume: bool, may_change: Collection[str] = ()
) -> dict[str, Any]:
    """Writes what a run is begun, or goes on, with; returns what is written.

    A run that goes on keeps the commit that it was begun with; those that it went on with stand under "resumed_with". One that
    begins anew loses what an earlier run in its folder left: call this when nothing can be wrong with its arguments any more.

    Args:
        file: where it is written, in the run's folder.
        record: "arguments" and "commit", and what else is told.
        kept: names in that folder of what a run leaves: what it goes on from, and what it came to.
        resume: whether it goes on from what is there.
        may_change: arguments that may have another value then.

    Raises:
        ValueError: it is to go on with other arguments, or the file is missing or damaged.
    """
    folder = file.parent
    if resume:
        check_same_run(file, record["arguments"], may_change)
        before = _read(file)
        with_what = before.get("resumed_with", [])
        record = {**record, "commit": before.get("commit", ""), "resumed_with": [*with_what, record["commit"]]}
    else:
        for name in kept:
            shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink(missing_ok=True)
    part = file.with_suffix(".part")
    part.write_text(json.dumps(record, indent=1) + "\n")
    os.replace(part, file)
    return record


def result_file(text: str) -> Path:
    """The file that a result goes into, as a type of `argparse`: what could not be written is known before hours of work.

    Raises:
        ArgumentTypeError: it cannot be written there.
    """
    file = Path(text)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a"):
            pass
    except OSError as error:
        raise ArgumentTypeError(f"nothing can be written to {file}: {error}") from error
    if not file.stat().st_size:
        file.unlink()
    return file


def _read(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{file}, which says what the run was begun with, cannot be read ({error}): begin it anew") from error


def _git(folder: Path, *command: str) -> str:
    """What git says, or ""; it takes no lock, since others may work in the checkout."""
    line = ["git", "--no-optional-locks", "-C", str(folder), *command]
    try:
        return subprocess.run(line, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:  # there is no git
        return ""
