"""ProcessBench (Zheng et al., 2024, arXiv 2412.06559): {id, generator, problem, steps, final_answer_correct, label}.

`label` is the 0-based index of the earliest wrong step, -1 for none. What comes after the earliest error was not judged, so it
is unscored. The part of `id` before its number is kept as `meta["subset"]`: F1 is averaged over subsets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reasongym.errors import DataError
from reasongym.prm.formats.base import Layout, rest, single, text, texts, whole
from reasongym.prm.records import StepRecord


def read(row: Mapping[str, Any]) -> list[StepRecord]:
    """One record: steps before the earliest error right, that one wrong, later ones unscored."""
    steps, earliest = texts(row, "steps"), whole(row, "label")
    if not -1 <= earliest < len(steps):
        raise DataError(f"'label' is {earliest}, expected the 0-based index of one of {len(steps)} steps, or -1 for no error")
    right = row.get("final_answer_correct")
    if right is not None and not isinstance(right, bool):
        raise DataError(f"'final_answer_correct' must be true, false or null, got {right!r}")
    labels = np.full(len(steps), np.nan)
    labels[: earliest if earliest >= 0 else None] = 1
    if earliest >= 0:
        labels[earliest] = -1
    meta = rest(row, ("problem", "steps", "label", "final_answer_correct"))
    identity = meta.get("id")
    if isinstance(identity, str) and "-" in identity:
        meta.setdefault("subset", identity.rsplit("-", 1)[0])
    outcome = float("nan") if right is None else float(right)
    return [StepRecord.of(text(row, "problem"), steps, list(labels), outcome=outcome, meta=meta)]


def write(records: Sequence[StepRecord]) -> list[dict[str, Any]]:
    """Rows; labels after the earliest error are lost.

    Raises:
        ValueError: several criteria, a partial outcome, or a step before the earliest error that is not labelled right.
    """
    return [_row(i, record) for i, record in enumerate(records)]


def _row(i: int, record: StepRecord) -> dict[str, Any]:
    labels = np.array(single(record, "processbench"))
    wrong = np.flatnonzero(labels < 0)
    earliest = int(wrong[0]) if len(wrong) else -1
    unsaid = np.flatnonzero(np.isnan(labels[: earliest if len(wrong) else None]))
    if len(unsaid):
        raise ValueError(
            f"record {i}: step {unsaid[0] + 1} is unscored, and ProcessBench has no label for that before the earliest error; "
            "write format='records', which loses nothing"
        )
    if record.outcome not in (0, 1) and not np.isnan(record.outcome):
        raise ValueError(f"record {i}: ProcessBench's final_answer_correct cannot say {record.outcome}; it is true or false")
    right = None if np.isnan(record.outcome) else bool(record.outcome)
    meta = {key: value for key, value in record.meta.items() if key != "subset"}
    return {"id": f"record-{i}", **meta, "problem": record.prompt, "steps": list(record.steps),
            "final_answer_correct": right, "label": earliest}  # fmt: skip


LAYOUT = Layout("processbench", ("problem", "steps", "label"), "ProcessBench: earliest error, 0-based", read, write)
