"""The stepwise table that trainers used: {prompt, completions, labels}, with bool, 0/1 or soft labels.

A column `outcome` (1 right, 0 wrong, in between partly, null unknown) is read where there is one: best-of-N needs it.

A bool list is the published layout: True right, False wrong. Anything else is taken only where it can be told what it means:

| labels | meaning |
| --- | --- |
| bools | True 1, False -1 |
| 0 and 1 | wrong -1, right 1 |
| floats, `scale="probability"` (default) | p in [0, 1], of being right: 2p - 1 |
| numbers, `scale="signed"` | as they are, in [-1, 1] |
| null, NaN | unscored |
| the number `unscored=` (say -100) | unscored; refused unless it is named |

A list that mixes bools with other numbers is refused: a cast has eaten a sentinel (TRL #2127). Where the cast has eaten
*all* of it, nobody can tell: the bench says so when a file has no wrong step at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reasongym.errors import DataError, unknown
from reasongym.prm.formats.base import Layout, rest, single, text, texts
from reasongym.prm.records import StepRecord

KEYS = ("prompt", "completions", "labels")
SCALES = ("probability", "signed")


def read(row: Mapping[str, Any], scale: str = "probability", unscored: float | None = None) -> list[StepRecord]:
    """One record; see the module's docstring for what labels mean.

    Args:
        row: a row of the table; other columns go to `meta`.
        scale: "probability" or "signed", of labels that are no bools.
        unscored: the number that stands for "unscored".
    """
    if scale not in SCALES:
        raise unknown("scale", scale, SCALES)
    steps, labels = texts(row, "completions"), row.get("labels")
    if not isinstance(labels, list) or len(labels) != len(steps):
        got = f"{len(labels)} of them" if isinstance(labels, list) else repr(labels)
        raise DataError(f"'labels' must be a list with one label for each of {len(steps)} completions, got {got}")
    given = [label for label in labels if label is not None]
    bools = [isinstance(label, bool) for label in given]
    if any(bools) and not all(bools):
        raise DataError(
            f"'labels' mixes bools with other values ({labels!r}): a cast to bool turns a sentinel such as -100 into True; "
            "give bools and null, or numbers"
        )
    values = [_label(label, scale, unscored) for label in labels]
    meta = rest(row, (*KEYS, "outcome"))
    return [StepRecord.of(text(row, "prompt"), steps, values, outcome=_outcome(row.get("outcome")), meta=meta)]


def _outcome(given: Any) -> float:
    if given is None:
        return float("nan")
    if not isinstance(given, (bool, int, float)) or not 0 <= given <= 1:
        raise DataError(f"'outcome' must be true, false, null or a number in [0, 1], got {given!r}")
    return float(given)


def _label(label: Any, scale: str, unscored: float | None) -> float:
    if isinstance(label, bool):
        return 1.0 if label else -1.0
    if label is None or (unscored is not None and label == unscored):
        return float("nan")
    if not isinstance(label, (int, float)):
        raise DataError(f"a label must be a bool, a number or null, got {label!r}")
    value = float(label)
    low = 0 if scale == "probability" else -1
    if math.isnan(value):
        return value
    if not low <= value <= 1:
        hint = "scale='signed' if labels lie in [-1, 1]; " if -1 <= value < 0 else ""
        raise DataError(
            f"the label {label!r} lies outside [{low}, 1]; {hint}unscored={label!r} if it is a sentinel that means unscored "
            "(it is never guessed: cast to bool it would be True)"
        )
    return 2 * value - 1 if scale == "probability" else value


def write(records: Sequence[StepRecord]) -> list[dict[str, Any]]:
    """Rows: bools where all labels of all records are 1 or -1, else probabilities with null for unscored, for all alike.

    Raises:
        ValueError: several criteria.
    """
    columns = [single(record, "stepwise") for record in records]
    hard = all(label in (1, -1) for column in columns for label in column)
    rows = []
    for record, column in zip(records, columns, strict=True):
        labels: list[Any] = [label == 1 for label in column]
        if not hard:
            labels = [None if np.isnan(label) else (label + 1) / 2 for label in column]
        row: dict[str, Any] = {"prompt": record.prompt, "completions": list(record.steps), "labels": labels}
        if not math.isnan(record.outcome):
            row["outcome"] = record.outcome
        rows.append({**{key: value for key, value in record.meta.items() if key not in row}, **row})
    return rows


LAYOUT = Layout("stepwise", KEYS, "stepwise table: prompt, completions, labels", read, write, ("scale", "unscored"))
