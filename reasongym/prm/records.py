"""The record of process data: a prompt, its steps, and per step and criterion a label and a reason.

Labels are float in [-1, 1] or NaN = unscored: below 0 wrong, 0 neutral, above 0 right. A bool or a whole number is refused,
because a cast to bool turns a sentinel such as -100 into True, and "unscored" into "right" (TRL #2127). Files of all layouts
become records in `reasongym.prm.formats`, numbers in `reasongym.prm.evaluation`. Axes: T steps, k criteria.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from reasongym.errors import PRMError

CORRECT = "correct"
"""The criterion of layouts that know only one."""
VISIBLE = ("step_kinds", "thoughts")
"""Keys of `meta` that a scorer may read: the kind of each step, and what its writer thought before it (a judge reads that only
where it was told to). All others may tell what is to be found out."""
TRAP = (
    "labels are float in [-1, 1] or NaN = unscored, because a cast to bool turns a sentinel such as -100 into True; "
    "make them float yourself: 1.0 right, -1.0 wrong, float('nan') unscored"
)


@dataclass(frozen=True, eq=False)
class StepRecord:
    """One step-by-step solution with its labels. Two are equal when all they hold is, NaN and NaN included.

    Attributes:
        prompt: what was asked.
        steps: T step texts, in order; at least one, none blank.
        criteria: k distinct names of what the labels judge.
        labels: (T, k) float32 in [-1, 1], NaN = unscored; kept read-only.
        reasons: T x k strings, "" where none was given; None for no reasons at all.
        outcome: 1.0 right, 0.0 wrong, in between partly; NaN unknown.
        meta: anything else, JSON values only: where it came from, which error was planted where.

    Raises:
        ValueError: a shape, a range, a blank step, a criterion twice.
        TypeError: a type, above all labels that are bool or whole numbers.
    """

    prompt: str
    steps: tuple[str, ...]
    criteria: tuple[str, ...]
    labels: np.ndarray
    reasons: tuple[tuple[str, ...], ...] | None = None
    outcome: float = float("nan")
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.prompt, str):
            raise TypeError(f"prompt must be a string, got {self.prompt!r}")
        steps = _strings("steps", self.steps)
        if not steps:
            raise ValueError("a record needs at least one step, got none")
        blank = next((t for t, step in enumerate(steps) if not step.strip()), None)
        if blank is not None:
            raise ValueError(f"step {blank + 1} of {len(steps)} is blank ({steps[blank]!r}); leave it out, with its label")
        criteria = _strings("criteria", self.criteria)
        if not criteria or len(set(criteria)) != len(criteria) or not all(criteria):
            raise ValueError(f"criteria must be distinct names, at least one, got {criteria!r}")
        labels = _labels(self.labels, len(steps), criteria)
        known: dict[str, Any] = {"steps": steps, "criteria": criteria, "labels": labels}
        known |= {"outcome": _outcome(self.outcome), "reasons": _reasons(self.reasons, len(steps), len(criteria))}
        if not isinstance(self.meta, Mapping):
            raise TypeError(f"meta must be a mapping, got {self.meta!r}")
        known["meta"] = _plain("meta", self.meta)
        for name, value in known.items():
            object.__setattr__(self, name, value)

    @classmethod
    def of(
        cls, prompt: str, steps: Sequence[str], labels: Sequence[float], criterion: str = CORRECT, **rest: Any
    ) -> StepRecord:
        """A record with one criterion: one float a step, None or NaN = unscored."""
        column = [float("nan") if label is None else label for label in labels]
        wrong = next((label for label in column if not isinstance(label, (float, np.floating))), None)
        if wrong is not None:
            raise TypeError(f"got the label {wrong!r}; {TRAP}")
        return cls(prompt, tuple(steps), (criterion,), np.array(column, float)[:, None], **rest)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StepRecord):
            return NotImplemented
        mine, others = (vars(record) | {"labels": None, "outcome": None} for record in (self, other))
        same = np.array_equal(self.labels, other.labels, equal_nan=True)
        return mine == others and same and np.array_equal(self.outcome, other.outcome, equal_nan=True)

    def __hash__(self) -> int:
        return hash((self.prompt, self.steps, self.criteria))

    def __len__(self) -> int:
        """T, the number of steps."""
        return len(self.steps)

    def unlabelled(self) -> StepRecord:
        """The record as a PRM may see it: labels NaN, no reasons, outcome unknown, of `meta` only the `VISIBLE` keys."""
        meta = {key: self.meta[key] for key in VISIBLE if key in self.meta}
        return replace(self, labels=np.full_like(self.labels, np.nan), reasons=None, outcome=float("nan"), meta=meta)


@runtime_checkable
class RecordScorer(Protocol):
    """A PRM that scores whole records: anybody's steps, or episodes of this suite as text.

    Attributes:
        criteria: k names, frozen at construction.
        version: part of every cache key and result.

    One that is shown labels, reasons, outcome and meta has `needs_annotation = True`. One whose scores estimate the value of a
    state and not the correctness of a step has `label_meaning = "value"`. One that reads long texts in part counts them in
    `windowed`: how many prompts and steps it has not read whole so far.
    """

    @property
    def criteria(self) -> tuple[str, ...]: ...

    @property
    def version(self) -> str: ...

    def score_records(self, records: Sequence[StepRecord]) -> list[np.ndarray]:
        """One (T, k) float32 array a record, in [-1, 1], NaN = unscored; a step's score reads no later step and no label."""
        ...


def score_records(scorer: RecordScorer, records: Sequence[StepRecord]) -> list[np.ndarray]:
    """The scores of a scorer, which sees labels only when it declares `needs_annotation`, checked against the contract.

    Returns:
        One (T, k) float32 array a record, in [-1, 1], NaN = unscored.

    Raises:
        PRMError: another number of arrays, another shape, an infinity, or a value outside [-1, 1].
    """
    return checked_record_scores(scorer, records, scorer.score_records(visible_to(scorer, records)))


def visible_to(scorer: RecordScorer, records: Sequence[StepRecord]) -> Sequence[StepRecord]:
    """The records as the scorer may see them: `unlabelled`, unless it declares `needs_annotation`."""
    return records if getattr(scorer, "needs_annotation", False) else [record.unlabelled() for record in records]


def checked_record_scores(scorer: RecordScorer, records: Sequence[StepRecord], found: Any) -> list[np.ndarray]:
    """What a scorer returned for these records, as float32; raises as `score_records`."""
    name = type(scorer).__name__
    if not isinstance(found, (Sequence, np.ndarray)):
        raise PRMError(f"{name}.score_records returned {found!r}; expected a list with one (steps, criteria) array a record")
    scores = list(found)
    if len(scores) != len(records):
        raise PRMError(f"{name}.score_records returned {len(scores)} arrays for {len(records)} records; expected one each")
    out = []
    for i, (record, values) in enumerate(zip(records, scores, strict=True)):
        values = np.asarray(values, np.float32)
        if values.shape != (len(record), len(scorer.criteria)):
            raise PRMError(
                f"{name} scored record {i} with shape {values.shape}, expected {(len(record), len(scorer.criteria))}: "
                "steps x criteria (of one score a step make a column: np.array(scores)[:, None]); "
                "a step that cannot be scored is NaN"
            )
        outside = ~((values >= -1) & (values <= 1)) & ~np.isnan(values)
        if outside.any():
            t, c = np.argwhere(outside)[0]
            raise PRMError(
                f"{name} scored {scorer.criteria[c]!r} with {values[t, c]} at step {t + 1} of record {i}; "
                "scores lie in [-1, 1], or are NaN for unscored"
            )
        out.append(values)
    return out


def _strings(name: str, values: object) -> tuple[str, ...]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a sequence of strings, got {values!r}")
    out = tuple(values)
    for i, value in enumerate(out):
        if not isinstance(value, str):
            raise TypeError(f"{name}[{i}] must be a string, got {value!r}")
    return out


def _refuse_bools(labels: object) -> None:
    """Looks into nested sequences, where NumPy would make a float of a bool beside a NaN."""
    if isinstance(labels, (bool, np.bool_)):
        raise TypeError(f"got the bool {labels!r} among the labels; {TRAP}")
    if isinstance(labels, (list, tuple)):
        for label in labels:
            _refuse_bools(label)


def _labels(labels: object, t: int, criteria: tuple[str, ...]) -> np.ndarray:
    _refuse_bools(labels)
    given = np.asarray(labels)
    if given.dtype.kind != "f":
        raise TypeError(f"got labels of type {given.dtype}; {TRAP}")
    if given.shape != (t, len(criteria)):
        hint = "; one criterion is still a column: labels[:, None]" if given.ndim == 1 else ""
        raise ValueError(f"labels have the shape {given.shape}, expected {(t, len(criteria))}: steps x criteria{hint}")
    outside = ~((given >= -1) & (given <= 1)) & ~np.isnan(given)
    if outside.any():
        step, criterion = np.argwhere(outside)[0]
        raise ValueError(
            f"the label of step {step + 1} for {criteria[criterion]!r} is {given[step, criterion]}; "
            "labels lie in [-1, 1], or are NaN for unscored (a sentinel such as -100 must become NaN)"
        )
    out = given.astype(np.float32)
    out.flags.writeable = False
    return out


def _outcome(outcome: object) -> float:
    if not isinstance(outcome, (bool, np.bool_, int, float, np.number)):
        raise TypeError(f"outcome must be a number in [0, 1], or NaN where it is unknown, got {outcome!r}")
    value = float(outcome)
    if not (0 <= value <= 1 or np.isnan(value)):
        raise ValueError(f"outcome must lie in [0, 1], or be NaN where it is unknown, got {outcome!r}")
    return value


def _reasons(reasons: Any, t: int, k: int) -> tuple[tuple[str, ...], ...] | None:
    if reasons is None:
        return None
    out = tuple(_strings(f"reasons[{i}]", row) for i, row in enumerate(reasons))
    if len(out) != t or any(len(row) != k for row in out):
        shape = f"{len(out)} rows of {sorted({len(row) for row in out})}"
        raise ValueError(f"reasons are {shape} strings, expected {t} rows of {k}: steps x criteria, '' where there is none")
    return out


def _plain(where: str, value: Any) -> Any:
    """A value as JSON holds it: tuples become lists, NumPy's scalars Python's."""
    if isinstance(value, Mapping):
        bad = next((key for key in value if not isinstance(key, str)), None)
        if bad is not None:
            raise TypeError(f"{where} has the key {bad!r}: keys of JSON are strings")
        return {key: _plain(f"{where}[{key!r}]", item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(f"{where}[{i}]", item) for i, item in enumerate(value)]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float) and np.isfinite(value):
        return value
    raise TypeError(f"{where} is {value!r}: meta holds JSON values only (no NaN; None instead)")
