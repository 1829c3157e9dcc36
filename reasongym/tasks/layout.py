"""Finding the published bAbI files: a folder or a `.tar.gz` with `qaN_name_train.txt`, perhaps in `en-10k` or `en`."""

from __future__ import annotations

import io
import re
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from reasongym.errors import DataError

FOLDERS = ("en-10k", "en-valid-10k", "en", "en-valid")
"""Which folder is taken where a path holds several."""

_FILE = re.compile(r"qa(\d+)_[\w-]+_(train|valid|test)(\.partial)?\.txt")


@dataclass(frozen=True, slots=True)
class Layout:
    """One folder of published files.

    Attributes:
        where: the folder, for messages.
        folder: its own name, e.g. "en-10k".
        readers: for each file name, a function that returns its bytes.
    """

    where: str
    folder: str
    readers: dict[str, Callable[[], bytes]]

    def find(self, task: int, part: str, *, whole: bool = True) -> str | None:
        """The name of the file of a task and a part ("train", "valid", "test"), or None."""
        for name in self.readers:
            match = _FILE.fullmatch(name)
            if match and (int(match[1]), match[2], not match[3]) == (task, part, whole):
                return name
        return None

    def read(self, name: str) -> bytes:
        try:
            return self.readers[name]()
        except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
            raise DataError(f"{self.where}/{name} cannot be read: {error}") from error


def open_layout(path: str) -> Layout:
    """The published files at a path: a folder, an archive, or a folder inside an archive (`x.tar.gz/en`).

    A folder may also hold archives named after the folders in them (`en-10k.tar.gz`).

    Raises:
        DataError: nothing is there, or nothing in bAbI's layout; the message says what was looked for.
    """
    place = Path(path).expanduser()
    if place.is_dir():
        found = _in_folder(place)
        archives = [file for name in FOLDERS if (file := place / f"{name}.tar.gz").is_file()]
        return _choose(path, found) if found or not archives else open_layout(str(archives[0]))
    archive, inner = place, PurePosixPath()
    while not archive.exists() and archive != archive.parent:
        archive, inner = archive.parent, archive.name / inner
    if not archive.is_file():
        raise DataError(
            f"no bAbI data at {path!r}: looked for a folder or a .tar.gz with files such as "
            f"en-10k/qa1_single-supporting-fact_train.txt, and {archive if inner.name else place} is no such thing; "
            "give the path to one, or source='procedural' (no files needed) or source='hub'"
        )
    return _choose(path, _in_archive(archive, inner))


def _in_folder(place: Path) -> dict[str, dict[str, Callable[[], bytes]]]:
    found: dict[str, dict[str, Callable[[], bytes]]] = {}
    for pattern in ("*.txt", "*/*.txt", "*/*/*.txt"):
        for file in sorted(place.glob(pattern)):
            if _FILE.fullmatch(file.name):
                found.setdefault(str(file.parent), {})[file.name] = file.read_bytes
    return found


def _in_archive(archive: Path, inner: PurePosixPath) -> dict[str, dict[str, Callable[[], bytes]]]:
    found: dict[str, dict[str, Callable[[], bytes]]] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as files:
            for member in files:
                name = PurePosixPath(member.name)
                if member.isfile() and _FILE.fullmatch(name.name) and (not inner.name or inner in name.parents):
                    content = files.extractfile(member).read()  # type: ignore[union-attr]
                    found.setdefault(f"{archive}/{name.parent}", {})[name.name] = partial(bytes, content)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DataError(f"{archive} is no whole tar archive (cut short or broken): {error}") from error
    return found


def _choose(path: str, found: dict[str, dict[str, Callable[[], bytes]]]) -> Layout:
    if not found:
        raise DataError(
            f"no bAbI files in {path!r}: looked for names such as qa1_single-supporting-fact_train.txt, "
            f"there or in a folder such as {FOLDERS[0]}"
        )
    if len(found) == 1:
        where = next(iter(found))
    else:
        known = [where for name in FOLDERS for where in sorted(found) if PurePosixPath(where).name == name]
        if not known:
            raise DataError(f"{path!r} holds several sets of bAbI files: name one of {', '.join(sorted(found))}")
        where = known[0]
    return Layout(where, PurePosixPath(where).name, found[where])
