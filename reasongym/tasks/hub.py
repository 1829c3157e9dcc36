"""bAbI from the Hugging Face hub: `facebook/babi_qa`, in its revision converted to Parquet.

Scripts of data sets no longer run in `datasets` 4, so the converted files are read: `en-10k-qa1/train/0000.parquet` and
so on, one row a story, whose column `story` holds the lists id, type (0 or "context", 1 or "question"), text,
supporting_ids and answer. Rows are written out in the published format and read like published files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reasongym.errors import DataError
from reasongym.tasks.base import World
from reasongym.tasks.parquet import read_rows
from reasongym.tasks.published import TaskFile

REMOTE = "hf://datasets/facebook/babi_qa@refs/convert/parquet"
CONFIG = "en-10k"
FIELDS = ("id", "type", "text", "supporting_ids", "answer")


def hub_files(worlds: Sequence[World], split: str, root: str = REMOTE) -> list[TaskFile]:
    """The files of a split, from the hub or from a local folder of the same shape.

    Raises:
        ImportError: the package `datasets` is missing.
        DataError: the files cannot be had, or are not of the expected shape.
    """
    part = "test" if split == "test" else "train"
    files = []
    for world in worlds:
        where = f"{root}/{CONFIG}-qa{world.task}/{part}"
        lines = [line for row in read_rows(f"{where}/*.parquet", root != REMOTE, REMOTE) for line in _lines(row, where)]
        files.append(TaskFile(world, where, "".join(lines).encode(), divided=part == "train"))
    return files


def _lines(row: Mapping[str, Any], where: str) -> list[str]:
    """A story in the published format."""
    try:
        story = row["story"]
        if not isinstance(story, Mapping):  # a list of structs instead of a struct of lists
            story = {name: [line[name] for line in story] for name in FIELDS}
        columns = [story[name] for name in FIELDS]
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{where}: expected rows with story = {{id, type, text, supporting_ids, answer}}, got {row!r:.200}"
        ) from error
    lines = []
    for label, kind, text, support, answer in zip(*columns, strict=True):
        asked = f"\t{answer}\t{' '.join(support)}" if kind in (1, "question") else ""
        lines.append(f"{label} {text}{asked}\n")
    return lines
