"""A cache of parsed files: one `.npz` each, without pickles, in `REASONGYM_CACHE` or `~/.cache/reasongym`.

The key is a hash of the file's content, of the code that reads it and of the arguments, so nothing in it goes stale. A
folder that cannot be written to means no cache (so does `REASONGYM_CACHE=`); an entry that cannot be read is made anew.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")


def folder() -> Path | None:
    """Where entries lie, or None for no cache."""
    setting = os.environ.get("REASONGYM_CACHE")
    if setting is not None:
        return Path(setting) if setting else None
    try:
        return Path.home() / ".cache" / "reasongym"
    except RuntimeError:  # no home
        return None


Entry = tuple[dict[str, Any], dict[str, np.ndarray]]
"""What is stored: a JSON object, and arrays by name."""


def cached(name: str, make: Callable[[], T], pack: Callable[[T], Entry], unpack: Callable[..., T]) -> T:
    """The entry `name` ("babi-<key>"), or what `make` returns, which is then stored.

    Args:
        pack, unpack: `unpack(*pack(thing))` is the thing again.
    """
    place = folder()
    if place is None:
        return make()
    path = place / f"{name}.npz"
    try:
        with np.load(path, allow_pickle=False) as entry:
            arrays = {key: entry[key] for key in entry.files}
        return unpack(json.loads(arrays.pop("texts").tobytes().decode()), arrays)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):  # absent, or broken
        with _no_collection():
            made = make()
    with contextlib.suppress(OSError):
        _write(path, *pack(made))
    return made


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Without the collector of cycles: of what a data set is read into it finds none, and takes a fifth of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _write(path: Path, texts: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    content = io.BytesIO()
    np.savez(content, texts=np.frombuffer(json.dumps(texts).encode(), np.uint8), **arrays)  # type: ignore[arg-type]
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.getvalue())
        os.replace(draft, path)  # so that another process sees all of it or none
    except OSError:
        os.unlink(draft)
        raise
