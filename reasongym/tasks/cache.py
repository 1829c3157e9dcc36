"""A cache of parsed files: one `.npz` each, without pickles, in `REASONGYM_CACHE` or `~/.cache/reasongym`.

The key is a hash of the file's content, of the code that reads it and of the arguments, so nothing in it goes stale. A
folder that cannot be written to means no cache (so does `REASONGYM_CACHE=`); an entry that cannot be read is made anew.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from reasongym.tasks.columns import DTYPES
from reasongym.tasks.parsing import ParsedFile
from reasongym.types import Columns


def folder() -> Path | None:
    """Where entries lie, or None for no cache."""
    setting = os.environ.get("REASONGYM_CACHE")
    if setting is not None:
        return Path(setting) if setting else None
    try:
        return Path.home() / ".cache" / "reasongym"
    except RuntimeError:  # no home
        return None


def cached(key: str, make: Callable[[], ParsedFile]) -> ParsedFile:
    """The entry `key`, or what `make` returns, which is then stored."""
    place = folder()
    if place is None:
        return make()
    path = place / f"babi-{key}.npz"
    try:
        return _read(path)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # absent, or broken
        parsed = make()
    with contextlib.suppress(OSError):
        _write(path, parsed)
    return parsed


def _read(path: Path) -> ParsedFile:
    with np.load(path, allow_pickle=False) as entry:
        texts = json.loads(entry["texts"].tobytes().decode())
        columns = Columns(
            sentences=tuple(texts["sentences"]),
            questions=tuple(texts["questions"]),
            **{name: entry[name] for name in DTYPES},
        )
        return ParsedFile(
            columns, tuple(texts["answers"]), entry["answer"], entry["bucket"], texts["skipped"], texts["first_fault"]
        )


def _write(path: Path, parsed: ParsedFile) -> None:
    texts = {
        "sentences": parsed.columns.sentences,
        "questions": parsed.columns.questions,
        "answers": parsed.answers,
        "skipped": parsed.skipped,
        "first_fault": parsed.first_fault,
    }
    content = io.BytesIO()
    np.savez(
        content,
        texts=np.frombuffer(json.dumps(texts).encode(), np.uint8),
        answer=parsed.answer,
        bucket=parsed.bucket,
        **{name: getattr(parsed.columns, name) for name in DTYPES},
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.getvalue())
        os.replace(draft, path)  # so that another process sees all of it or none
    except OSError:
        os.unlink(draft)
        raise
