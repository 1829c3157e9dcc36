"""What a layout is, and how its fields are checked: one row becomes records, or an error that says what is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reasongym.errors import DataError
from reasongym.prm.records import StepRecord


class LeftOutError(Exception):
    """A row that the layout's protocol leaves out, broken or not; counted by its reason."""


@dataclass(frozen=True)
class Layout:
    """One way to lay a labelled solution out as a row.

    Attributes:
        name: as `--format` takes it.
        keys: fields by which a row is known; all must be there.
        about: where it comes from, in a few words.
        read: a row becomes records; keywords are the layout's options.
        write: records become rows.
        options: names of the keywords of `read`.
        once: what a record is known again by, where several rows bring it and only the first counts; None: every one counts.
        again: why the others are left out.
        gather: where a record is made of several rows, makes one row of them; None: each row is for itself.
    """

    name: str
    keys: tuple[str, ...]
    about: str
    read: Callable[..., list[StepRecord]]
    write: Callable[[Sequence[StepRecord]], list[dict[str, Any]]]
    options: tuple[str, ...] = ()
    once: Callable[[StepRecord], Hashable | None] = lambda record: None
    again: str = ""
    gather: Callable[[Iterable[tuple[str, Any]]], list[tuple[str, Any]]] | None = None


def text(row: Mapping[str, Any], key: str) -> str:
    """A field that must be a string."""
    value = row.get(key)
    if not isinstance(value, str):
        raise DataError(f"{key!r} must be a string, got {_short(value)}")
    return value


def texts(row: Mapping[str, Any], key: str) -> list[str]:
    """A field that must be a list of strings, at least one."""
    value = row.get(key)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise DataError(f"{key!r} must be a list of strings, got {_short(value)}")
    if not value:
        raise DataError(f"{key!r} is empty: a record needs at least one step")
    return value


def whole(row: Mapping[str, Any], key: str) -> int:
    """A field that must be a whole number, and no bool."""
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        raise DataError(f"{key!r} must be a whole number, got {_short(value)}")
    return value


def single(record: StepRecord, layout: str) -> list[float]:
    """The labels of a record with one criterion, for a layout that knows no more.

    Raises:
        ValueError: it has several.
    """
    if len(record.criteria) != 1:
        raise ValueError(
            f"the layout {layout!r} has one label a step, but this record has the criteria {', '.join(record.criteria)}; "
            "write format='records', which loses nothing, or keep one criterion"
        )
    return [float(label) for label in record.labels[:, 0]]


def rest(row: Mapping[str, Any], used: Sequence[str]) -> dict[str, Any]:
    """All other fields of a row, for `meta`: NaN becomes None, and what JSON cannot hold (a date of a table) its text."""
    return {str(key): _plain(value) for key, value in row.items() if key not in used}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return rest(value, ())
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (str, bool, int)) else str(value)


def _short(value: object) -> str:
    quoted = repr(value)
    return quoted if len(quoted) <= 80 else quoted[:77] + "..."
