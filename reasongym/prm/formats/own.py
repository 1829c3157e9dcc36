"""The project's own rows, which lose nothing: {prompt, steps, criteria, labels, reasons, outcome, meta}.

As JSON, NaN is null; as Parquet and `datasets.Dataset`, labels are float32 with NaN, and `meta` is a string of JSON, so that
records with different metadata share one table.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reasongym.errors import DataError
from reasongym.prm.formats.base import Layout, text, texts
from reasongym.prm.records import StepRecord

SCHEMA = "step-records-1"


def read(row: Mapping[str, Any]) -> list[StepRecord]:
    """The record of a row, of JSON or of a table."""
    steps, criteria = texts(row, "steps"), texts(row, "criteria")
    labels: Any = row.get("labels")
    reasons, outcome, meta = (row.get(key) for key in ("reasons", "outcome", "meta"))
    if not isinstance(labels, list) or any(not isinstance(line, list) or len(line) != len(criteria) for line in labels):
        raise DataError(f"'labels' must hold a list of {len(criteria)} numbers or nulls for each step, got {labels!r:.80}")
    wrong = [x for line in labels for x in line if isinstance(x, bool) or not isinstance(x, (int, float, type(None)))]
    if wrong:
        raise DataError(f"a label must be a number in [-1, 1] or null for unscored, got {wrong[0]!r}: never a bool")
    values = np.array([[np.nan if x is None else x for x in line] for line in labels], float).reshape(
        len(labels), len(criteria)
    )
    if isinstance(meta, str):
        try:
            meta = json.loads(meta)
        except ValueError as error:
            raise DataError(f"'meta' is no JSON: {error}") from None
    outcome = float("nan") if outcome is None else outcome
    return [StepRecord(text(row, "prompt"), tuple(steps), tuple(criteria), values, reasons, outcome, meta or {})]


def write(records: Sequence[StepRecord]) -> list[dict[str, Any]]:
    """Rows for JSON."""
    rows = []
    for record in records:
        labels = [[None if np.isnan(x) else float(x) for x in line] for line in record.labels]
        row: dict[str, Any] = {"prompt": record.prompt, "steps": list(record.steps), "criteria": list(record.criteria)}
        row["labels"] = labels
        row["reasons"] = None if record.reasons is None else [list(line) for line in record.reasons]
        row["outcome"] = None if np.isnan(record.outcome) else record.outcome
        rows.append({**row, "meta": dict(record.meta)})
    return rows


def table(records: Sequence[StepRecord]) -> Any:
    """The records as a `pyarrow.Table`.

    Raises:
        ImportError: pyarrow is missing.
    """
    try:
        import pyarrow as pa
    except ImportError as missing:
        raise ImportError("tables of records need pyarrow; run: pip install 'reasongym[data]'") from missing
    strings = pa.list_(pa.string())
    columns = {
        "prompt": (pa.string(), [record.prompt for record in records]),
        "steps": (strings, [list(record.steps) for record in records]),
        "criteria": (strings, [list(record.criteria) for record in records]),
        "labels": (pa.list_(pa.list_(pa.float32())), [record.labels.tolist() for record in records]),
        "reasons": (pa.list_(strings), [record.reasons for record in records]),
        "outcome": (pa.float64(), [record.outcome for record in records]),
        "meta": (pa.string(), [json.dumps(record.meta, ensure_ascii=False) for record in records]),
    }
    arrays = {name: pa.array(values, kind) for name, (kind, values) in columns.items()}
    return pa.table(arrays).replace_schema_metadata({"reasongym": SCHEMA})


def write_parquet(records: Sequence[StepRecord], path: Path) -> None:
    """The records as one Parquet file, which appears in one piece."""
    content = table(records)
    import pyarrow.parquet as pq

    unready = path.with_name(f".{path.name}.tmp")
    pq.write_table(content, unready)
    unready.replace(path)


KEYS = ("prompt", "steps", "criteria", "labels")
LAYOUT = Layout("records", KEYS, "this project's own: every criterion, reason and meta", read, write)
