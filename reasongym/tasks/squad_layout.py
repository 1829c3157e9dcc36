"""Finding SQuAD's files, and which of them are for which split; the rules are in `reasongym.tasks.squad2.load`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reasongym.errors import DataError, unknown
from reasongym.tasks.files import File

Source = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Mapping[str, Any]

_PARTS = {"train": "train", "dev": "validation", "valid": "validation", "validation": "validation", "test": "test"}
_NAME = re.compile(r"(train|dev|validation|valid|test)(?![a-z]).*\.json(\.gz)?", re.IGNORECASE)


def files_of(source: Any, allow_partial: bool) -> dict[str, list[Path]]:
    """The files of each split."""
    if isinstance(source, Mapping):
        for name in source:
            if name not in ("train", "validation", "test"):
                raise unknown("split in source", name, ("train", "validation", "test"))
        return {
            name: [path for files in files_of(given, allow_partial).values() for path in files]
            for name, given in source.items()
        }
    if isinstance(source, str | os.PathLike):
        text = os.fspath(source)
        places = [text] if Path(text).expanduser().exists() or not isinstance(text, str) else text.split(os.pathsep)
    else:
        places = [os.fspath(place) for place in source]
    found: dict[str, list[Path]] = {}
    for place in places:
        for part, path in _at(Path(place).expanduser(), allow_partial):
            if path not in found.setdefault(part, []):
                found[part].append(path)
    return found


def _at(place: Path, allow_partial: bool) -> list[tuple[str, Path]]:
    """The files at a path: (split, file)."""
    if place.is_file():
        if ".partial." in place.name and not allow_partial:
            raise DataError(f"{place} holds a part of its set only: pass allow_partial=True to use it")
        match = _NAME.fullmatch(place.name)
        return [(_PARTS[match[1].lower()] if match else "train", place)]
    if not place.is_dir():
        raise DataError(
            f"no SQuAD data at {str(place)!r}: expected a .json or .json.gz file such as train-v2.0.json, a folder that holds "
            "such files, several of these, or source='hub'"
        )
    named = [(match, path) for path in sorted(place.iterdir()) if (match := _NAME.fullmatch(path.name)) and path.is_file()]
    files = {path.name.removesuffix(".gz"): (match, path) for match, path in reversed(named)}  # unpacked rather than packed
    found = [
        (_PARTS[match[1].lower()], _version(path.name), path)
        for match, path in files.values()
        if allow_partial or ".partial." not in path.name
    ]
    if not found:
        raise DataError(
            f"no SQuAD files in {str(place)!r}: looked for names such as train-v2.0.json and dev-v2.0.json.gz, found "
            f"{', '.join(sorted(path.name for path in place.iterdir()))[:300] or 'nothing'}"
        )
    newest = {part: max(version for other, version, _ in found if other == part) for part, _, _ in found}
    return sorted((part, path) for part, version, path in found if version in ((), newest[part]))


def _version(name: str) -> tuple[int, ...]:
    """The version in a file's name, (2, 0) of "train-v2.0.json"; () where there is none."""
    match = re.search(r"v(\d+)\.(\d+)", name)
    return (int(match[1]), int(match[2])) if match else ()


def choose(found: Mapping[str, list[Path]], split: str, source: Any) -> tuple[list[File], bool]:
    """The files of a split, and whether their articles are divided into train and validation."""
    divided = split != "test" and bool(found.get("train")) and not found.get("validation")
    paths = found.get("train" if divided else split)
    if not paths:
        have = ", ".join(str(path) for paths in found.values() for path in paths)
        ways = {
            "train": "files named dev* are for validation; source={'train': path} divides them by article",
            "validation": "it needs a file named dev* or train*",
            "test": "it needs a file named test*; the official test set of SQuAD is not public",
        }
        raise DataError(f"{source!r} has no files for the split {split!r}: {ways[split]}; it has {have or 'none'}")
    return [File.of(path) for path in paths], divided
