"""The files of a run: written once, in one piece; and a lock, so that nobody else plays the same run.

| file of `RUNS/SUITE/ROW--SETTING--SEED/` | content |
| --- | --- |
| `run.json` | what is to be played |
| `metrics.jsonl` | the curve, a line an evaluation |
| `episodes.jsonl` | held-out episodes after training (see `episodes`) |
| `result.json` | the result; its presence says that the run is over |
| `progress` | CPU seconds spent so far |
| `log.txt` | what the process said |
| `reward_model/` | the learned PRM, where the row trains one |
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

RUN, CURVE, EPISODES, RESULT = "run.json", "metrics.jsonl", "episodes.jsonl", "result.json"
PROGRESS, LOG, LOCK, REWARD_MODEL = "progress", "log.txt", "lock", "reward_model"


class TakenError(RuntimeError):
    """Another process plays this run."""


def write_json(path: Path, value: Any) -> None:
    """Writes JSON so that the file is either the old one or the whole new one, whatever happens meanwhile."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """As `write_json`, for text."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines; none where there is no file. A last line that was cut short is left out."""
    if not path.exists():
        return []
    lines = path.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1] if line]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds a run's lock, which the system gives back when the process ends, however it ends.

    Raises:
        TakenError: another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows has none: there, play a folder with one process at a time
        yield
        return
    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TakenError(f"{folder} is being played by another process") from None
        yield
