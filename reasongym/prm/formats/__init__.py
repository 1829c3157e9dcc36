"""Files of process data become `StepRecord`s, and back.

`read_records(path)` sees from the content how a file is packed (JSON, JSON lines, gzip, Parquet, a saved `datasets.Dataset`)
and which layout its rows have; `from_dataset` does the same for a `datasets.Dataset`. A layout is one file here and one entry
in `LAYOUTS`. Every fault is named with its file and record; `strict=False` skips what is broken and counts it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from reasongym.errors import DataError, UnknownNameError, unknown
from reasongym.prm.formats import episodes, own, prm800k, prmbench, processbench, stepwise, trajectories
from reasongym.prm.formats.base import Layout, LeftOutError
from reasongym.prm.formats.files import STDIN, Row, read_rows, watched, write_text
from reasongym.prm.records import StepRecord

LAYOUTS = {part.LAYOUT.name: part.LAYOUT for part in (own, processbench, prm800k, prmbench, stepwise, episodes, trajectories)}
AUTO = "auto"
MOST_FAULTS = 20
"""Messages about skipped records that are kept."""


@dataclass(frozen=True)
class RecordSet(Sequence):
    """The records of a file, and what was left of it.

    Attributes:
        records: in the order of the file.
        layout: a name of `LAYOUTS`.
        source: the file.
        digest: BLAKE2b of its content.
        skipped: broken rows that `strict=False` passed over.
        faults: what was wrong with the first `MOST_FAULTS` of them.
        left_out: rows, and records of rows, that the layout's protocol leaves out, by reason.
    """

    records: tuple[StepRecord, ...]
    layout: str
    source: str
    digest: str
    skipped: int = 0
    faults: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: Any) -> Any:
        return self.records[index]

    def __iter__(self) -> Iterator[StepRecord]:
        return iter(self.records)


def read_records(path: str | PathLike, format: str = AUTO, *, strict: bool = True, **options: Any) -> RecordSet:
    """The records of a file or folder.

    Args:
        path: see the module's docstring for what it may be; "-" is standard input.
        format: a name of `LAYOUTS`, or "auto": by the fields of the first row.
        strict: a broken record raises; False skips and counts it.
        options: of the layout: `past_the_end` and `process` (prmbench), `alternatives` (prm800k), `scale` and `unscored`
            (stepwise), `labels` (episodes, trajectories).

    Raises:
        DataError: the file cannot be read, has no known layout, a broken record, or no record at all.
        UnknownNameError: no such format, or no such option of the layout.
    """
    digest, rows = read_rows(Path(path))
    return _records(str(STDIN if str(path) == "-" else path), digest, rows, format, strict, options)


def from_dataset(dataset: Any, format: str = AUTO, *, strict: bool = True, **options: Any) -> RecordSet:
    """The records of a `datasets.Dataset` (any iterable of rows will do); arguments as for `read_records`."""
    rows: list[Row | DataError] = [(f"row {i + 1}", row) for i, row in enumerate(dataset)]
    return _records("the data set", str(getattr(dataset, "_fingerprint", "")), rows, format, strict, options)


def to_dataset(records: Sequence[StepRecord]) -> Any:
    """The records as a `datasets.Dataset` with the columns of `own`.

    Raises:
        ImportError: the package `datasets` is missing.
    """
    try:
        import datasets
    except ImportError as missing:
        raise ImportError("to_dataset needs the package `datasets`: pip install 'reasongym[data]'") from missing
    return datasets.Dataset(own.table(records))


def write_records(records: Iterable[StepRecord], path: str | PathLike, format: str = "records") -> None:
    """Writes records: JSON lines, one JSON array for a name in .json, Parquet for .parquet, gzipped for .gz.

    Args:
        records: what to write.
        path: the file; replaced if there is one.
        format: a name of `LAYOUTS`; only "records" loses nothing, and only it is written as Parquet.

    Raises:
        ValueError: the layout cannot say what a record holds.
    """
    path, records = Path(path), list(records)
    if format not in LAYOUTS:
        raise unknown("format", format, LAYOUTS)
    if path.name.endswith(".parquet"):
        if format != "records":
            raise ValueError(f"Parquet holds format='records', got format={format!r}; write it to a .jsonl file")
        own.write_parquet(records, path)
    else:
        write_text(path, LAYOUTS[format].write(records))


def layout_of(row: object, source: str = "the data") -> Layout:
    """The layout whose fields a row has.

    Raises:
        DataError: none's.
    """
    if isinstance(row, Mapping):
        for layout in LAYOUTS.values():
            if all(key in row for key in layout.keys):
                return layout
    known = "; ".join(f"{layout.name}: {', '.join(layout.keys)}" for layout in LAYOUTS.values())
    got = ", ".join(map(str, row)) if isinstance(row, Mapping) else type(row).__name__
    raise DataError(f"{source}: a row with {got or 'no field'} has none of the known layouts ({known}); name one with format=")


def _records(
    source: str, digest: str, rows: Sequence[Row | DataError], format: str, strict: bool, options: Mapping[str, Any]
) -> RecordSet:
    if format != AUTO and format not in LAYOUTS:
        raise unknown("format", format, (AUTO, *LAYOUTS))
    if not rows:
        raise DataError(f"{source} is empty: no record")
    layout = LAYOUTS[format] if format != AUTO else _first_layout(source, rows)
    for name in options:
        if name not in layout.options:
            raise unknown(f"option of the layout {layout.name!r}", name, layout.options or ("none",))
    if layout.gather is not None:
        broken = [row for row in rows if isinstance(row, DataError)]
        rows = [*broken, *layout.gather(row for row in rows if not isinstance(row, DataError))]
    out: list[StepRecord] = []
    faults: list[str] = []
    left_out: Counter[str] = Counter()
    seen: set[Hashable] = set()
    for row in watched(rows, "records"):
        try:
            found = _read_row(layout, row, options)
        except LeftOutError as reason:
            left_out[str(reason)] += 1
        except DataError as error:
            if strict:
                raise DataError(f"{error} (strict=False skips broken records and counts them)") from None
            faults.append(str(error))
        else:
            for record in found:
                known_by = layout.once(record)
                if known_by is not None and known_by in seen:
                    left_out[layout.again] += 1
                else:
                    seen.add(known_by)
                    out.append(record)
    if not out:
        why = f"; the first fault: {faults[0]}" if faults else ""
        raise DataError(f"{source}: none of {len(rows)} rows gives a record{why}")
    return RecordSet(tuple(out), layout.name, source, digest, len(faults), tuple(faults[:MOST_FAULTS]), dict(left_out))


def _first_layout(source: str, rows: Sequence[Row | DataError]) -> Layout:
    whole = next((row for row in rows if not isinstance(row, DataError)), None)
    if whole is None:
        assert isinstance(rows[0], DataError)
        raise rows[0]
    return layout_of(whole[1], source)


def _read_row(layout: Layout, row: Row | DataError, options: Mapping[str, Any]) -> list[StepRecord]:
    if isinstance(row, DataError):
        raise row
    where, content = row
    lacking = [key for key in layout.keys if not isinstance(content, Mapping) or key not in content]
    if lacking:
        got = ", ".join(map(str, content)) if isinstance(content, Mapping) else json.dumps(content)[:80]
        raise DataError(f"{where}: a {layout.name} row needs {', '.join(lacking)}, got {got}")
    try:
        return layout.read(content, **options)
    except UnknownNameError:  # an option's value, which is nobody's row's fault
        raise
    except (ValueError, TypeError) as error:  # DataError is one; so is what the record refuses
        raise DataError(f"{where}: {error}") from None
