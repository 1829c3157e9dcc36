"""The record of process data: a prompt, its steps, and per step and criterion a label and a reason.

Labels are float in [-1, 1] or NaN = unscored; a bool or a sentinel such as -100 is refused, because a cast to bool turns
"unscored" into "right". Axes: T steps, k criteria.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np


@dataclass(frozen=True)
class StepRecord:
    """One step-by-step solution with its labels.

    Attributes:
        prompt: what was asked.
        steps: T step texts, in order; at least one.
        criteria: k names of what the labels judge.
        labels: (T, k) float32 in [-1, 1], NaN = unscored.
        reasons: T x k strings, "" where none was given; None for no reasons at all.
        outcome: 1.0 right, 0.0 wrong, in between partly; NaN unknown.
        meta: anything else, JSON values only: where it came from, which error was planted where.
    """

    prompt: str
    steps: tuple[str, ...]
    criteria: tuple[str, ...]
    labels: np.ndarray
    reasons: tuple[tuple[str, ...], ...] | None = None
    outcome: float = float("nan")
    meta: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class RecordScorer(Protocol):
    """A PRM that scores whole records: anybody's steps, or episodes of this suite as text.

    Attributes:
        criteria: k names, frozen at construction.
        version: part of every cache key and result.
    """

    criteria: tuple[str, ...]
    version: str

    def score_records(self, records: Sequence[StepRecord]) -> list[np.ndarray]:
        """One (T, k) float32 array a record, in [-1, 1], NaN = unscored; a step's score reads no later step and no label."""
        ...
