"""Rows of a file, whatever it is packed in: JSON, JSON lines, either one gzipped, Parquet, a folder of Parquet, or a saved
`datasets.Dataset`. What it is packed in is seen from its content, never from its name.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from reasongym.errors import DataError

STDIN = Path("standard input")
NOTED = (b"source", b"fingerprint", b"prm")
"""What a recording of this suite says of all its rows, in the metadata of its file; read as columns."""
Row = tuple[str, Any]
"""Where a row begins ("FILE, line 3"), and the row."""


def read_rows(path: Path) -> tuple[str, list[Row | DataError]]:
    """A digest of the content, and the rows; one that is no JSON is there as the error. The path "-" is standard input.

    Raises:
        DataError: no such file, cut short, not UTF-8, or of no known kind.
    """
    if path.is_dir():
        return _read_folder(path)
    path, content = _content(path)
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    if content[:4] == b"PAR1":
        return digest, list(_parquet(path, content))
    text = _text(path, content)
    if text.lstrip()[:1] == "[":
        return digest, _json(path, text)
    return digest, _json_lines(path, text)


def write_text(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """The rows as JSON lines, or as one JSON array where the name ends in .json; gzipped where it ends in .gz.

    NaN has no place in JSON: a layout writes null.
    """
    lines = [json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows]
    array = path.name.removesuffix(".gz").endswith(".json")
    text = "[\n" + ",\n".join(lines) + "\n]\n" if array else "".join(line + "\n" for line in lines)
    content = text.encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.name.endswith(".gz") else content)


def _content(path: Path) -> tuple[Path, bytes]:
    """What to call the file in messages, and what is in it."""
    try:
        if str(path) != "-":
            return path, path.read_bytes()
        if sys.stdin is None or sys.stdin.isatty():
            raise DataError("- is standard input, and nothing is piped into it; give a file, or: ... | COMMAND -")
        return STDIN, sys.stdin.buffer.read()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _text(path: Path, content: bytes) -> str:
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path} is no whole gzip file (cut short or broken): {error}") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {line}: not UTF-8 text ({error.reason}, byte {error.start})") from None


def _json(path: Path, text: str) -> list[Row | DataError]:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON (cut short or broken): {error}") from None
    return [(f"{path}, record {i + 1}", row) for i, row in enumerate(rows)]


def _json_lines(path: Path, text: str) -> list[Row | DataError]:
    out: list[Row | DataError] = []
    lines = text.split("\n")  # not splitlines: a line separator may stand in a JSON string
    for number, line in enumerate(watched(lines, "reading"), start=1):
        if not line.strip():
            continue
        try:
            out.append((f"{path}, line {number}", json.loads(line)))
        except (ValueError, RecursionError) as error:
            out.append(DataError(f"{path}, line {number}: no JSON (cut short or broken): {error}"))
    if out and isinstance(out[0], DataError):  # perhaps one object, written over many lines
        try:
            return [(f"{path}, record 1", json.loads(text))]
        except (ValueError, RecursionError):
            pass
    return out


def watched(items: Sequence[Any], what: str) -> Iterable[Any]:
    """The items, with a progress bar on a terminal where they take longer than a second."""
    return tqdm(items, what, leave=False, disable=None, delay=1)


def _parquet(path: Path, content: bytes) -> Iterator[Row]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as missing:
        raise ImportError("Parquet needs pyarrow; run: pip install 'reasongym[data]'") from missing
    try:
        table = pq.read_table(pa.BufferReader(content))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is no whole Parquet file (cut short or broken): {error}") from error
    noted = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items() if key in NOTED}
    for i, row in enumerate(table.to_pylist()):
        yield f"{path}, row {i + 1}", {**noted, **row}


def _read_folder(path: Path) -> tuple[str, list[Row | DataError]]:
    """Parquet files in the order of their names, or what `Dataset.save_to_disk` wrote."""
    files = sorted(path.glob("*.parquet"))
    if files:
        parts = [read_rows(file) for file in files]
        digest = hashlib.blake2b(" ".join(part for part, _ in parts).encode(), digest_size=16).hexdigest()
        return digest, [row for _, rows in parts for row in rows]
    if not (path / "dataset_info.json").exists():
        raise DataError(f"{path} is a folder without *.parquet files, and no saved datasets.Dataset; name a file in it")
    try:
        import datasets
    except ImportError as missing:
        raise ImportError("a saved datasets.Dataset needs the package `datasets`: pip install 'reasongym[data]'") from missing
    dataset = datasets.load_from_disk(str(path))
    if not isinstance(dataset, datasets.Dataset):
        raise DataError(f"{path} holds several splits ({', '.join(dataset)}); name the folder of one of them")
    return dataset._fingerprint, [(f"{path}, row {i + 1}", row) for i, row in enumerate(dataset)]
