"""PRMBench (Song et al., 2025, arXiv 2501.03124): a solution, the same with a planted error, and `error_steps`, from 1.

Some published rows name error steps past the end of the solution. The published scorer passes over such numbers, and so does
`past_the_end="keep"`, which notes them in `meta["past_the_end"]`; "drop" leaves such rows out, and they are counted.
`classification` (nine error classes, spelled as published) stays in `meta`; the unmodified solution is one of class "correct".
Rows of one problem bring it more than once: of equal ones (`idx`, prompt and steps) the first is kept, the others are counted.
`meta["layout"]` is "prmbench", by which the bench knows these classes and numbers from anybody else's fields of that name.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from reasongym.errors import DataError, unknown
from reasongym.prm.formats.base import Layout, LeftOutError, rest, single, text, texts
from reasongym.prm.records import StepRecord

KEYS = ("modified_question", "modified_process", "error_steps")
NAME, CORRECT = "prmbench", "correct"
AGAIN = "an unmodified solution that an earlier row has brought"
POLICIES = ("keep", "drop")
PROCESSES = ("modified", "original", "both")


def read(row: Mapping[str, Any], past_the_end: str = "keep", process: str = "modified") -> list[StepRecord]:
    """The record of the modified solution, of the original one (all right), or both.

    Args:
        row: see the module's docstring.
        past_the_end: what to do with error steps past the end: "keep" the row without them, or "drop" it.
        process: "modified", "original" or "both".
    """
    if past_the_end not in POLICIES:
        raise unknown("past_the_end policy", past_the_end, POLICIES)
    if process not in PROCESSES:
        raise unknown("process", process, PROCESSES)
    out = []
    if process != "original":
        out.append(_modified(row, past_the_end))
    if process != "modified":
        steps = texts(row, "original_process")
        meta = {"idx": row.get("idx"), "classification": CORRECT, "layout": NAME}
        out.append(StepRecord.of(text(row, "original_question"), steps, [1.0] * len(steps), meta=meta))
    return out


def _modified(row: Mapping[str, Any], past_the_end: str) -> StepRecord:
    steps, errors = texts(row, "modified_process"), row.get("error_steps")
    if not isinstance(errors, list) or not all(isinstance(e, int) and not isinstance(e, bool) for e in errors):
        raise DataError(f"'error_steps' must be a list of whole numbers from 1, got {errors!r}")
    if any(e < 1 for e in errors):
        raise DataError(f"'error_steps' is {errors!r}: steps count from 1")
    beyond = [e for e in errors if e > len(steps)]
    if beyond and past_the_end == "drop":
        raise LeftOutError("error steps past the end of the solution")
    labels = np.ones(len(steps))
    labels[[e - 1 for e in errors if e <= len(steps)]] = -1
    meta = rest(row, KEYS) | {"layout": NAME}
    if beyond:
        meta["past_the_end"] = beyond
    return StepRecord.of(text(row, "modified_question"), steps, list(labels), meta=meta)


def _once(record: StepRecord) -> tuple[Hashable, ...] | None:
    """What an unmodified solution is known again by."""
    if record.meta.get("classification") != CORRECT or record.meta.get("idx") is None:
        return None
    return str(record.meta["idx"]), record.prompt, record.steps


def write(records: Sequence[StepRecord]) -> list[dict[str, Any]]:
    """Rows; a step labelled 0 (neutral) is no error, the outcome is lost.

    Raises:
        ValueError: several criteria, or an unscored step.
    """
    rows = []
    for i, record in enumerate(records):
        labels = single(record, "prmbench")
        if any(np.isnan(labels)):
            raise ValueError(f"record {i}: PRMBench has no unscored steps; write format='records', which loses nothing")
        meta = {key: value for key, value in record.meta.items() if key != "layout"}
        errors = [t + 1 for t, label in enumerate(labels) if label < 0] + meta.pop("past_the_end", [])
        meta = {"idx": f"record-{i}", "classification": "unknown", **meta}
        rows.append({**meta, "modified_question": record.prompt, "modified_process": list(record.steps), "error_steps": errors})
    return rows


LAYOUT = Layout(NAME, KEYS, "PRMBench: error_steps, 1-based", read, write, ("past_the_end", "process"), _once, AGAIN)
