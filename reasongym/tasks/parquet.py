"""Rows of Parquet files on the Hugging Face hub, or of a local copy of them, through the package `datasets`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reasongym.errors import DataError


def is_hub(source: object) -> bool:
    """Whether a `source` is "hub" or "hub:FOLDER"."""
    return isinstance(source, str) and (source == "hub" or source.startswith("hub:"))


def read_rows(pattern: str, local: bool, remote: str) -> Any:
    """All rows of the files that match a pattern.

    Raises:
        ImportError: the package `datasets` is missing.
        DataError: there are no such files, or they cannot be read.
    """
    try:
        import datasets
    except ImportError:
        raise ImportError(
            "source='hub' needs the package `datasets`: pip install 'reasongym[data]' (or use source='procedural')"
        ) from None
    folder, name = pattern.rsplit("/", 1)
    if local and not any(Path(folder).glob(name)):
        files = "Parquet file" if name == "*.parquet" else f"Parquet file {name}"
        raise DataError(f"no {files} in {folder}: 'hub:FOLDER' needs a copy of {remote}")
    try:
        return datasets.load_dataset("parquet", data_files={"rows": pattern}, split="rows")
    except Exception as error:  # whatever the hub's clients raise (several HTTP libraries), the remedy is the same
        raise DataError(
            f"cannot read {folder} ({type(error).__name__}: {error}); without a connection use source='procedural', "
            "or give the path to a copy of the published files"
        ) from error


def hub_rows(source: str, remote: str, name: str, columns: Sequence[str]) -> tuple[str, Any]:
    """Where the files are, and their rows, which have the given columns.

    Args:
        source: "hub" or "hub:FOLDER".
        name: pattern of the files' names.

    Raises:
        ImportError: the package `datasets` is missing.
        DataError: the files cannot be had, or lack a column.
    """
    local = source[len("hub:") :]
    folder = local or remote
    rows = read_rows(f"{folder}/{name}", bool(local), remote)
    lacking = [column for column in columns if column not in rows.column_names]
    if lacking:
        raise DataError(
            f"{folder}/{name}: the columns {', '.join(lacking)} are missing: expected {', '.join(columns)}, "
            f"got {', '.join(rows.column_names)}"
        )
    return f"{folder}/{name}", rows
