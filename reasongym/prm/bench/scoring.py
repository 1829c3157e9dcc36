"""Records scored by a PRM under test, timed; what must be fitted first is fitted on other problems.

Problems (see `problems`) are dealt to folds in the order of a hash of their name, so all candidates of one share a fold.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tqdm import tqdm

from reasongym.errors import DataError, PRMError, ReasonGymError, unknown
from reasongym.prm.bench.loading import Unfitted
from reasongym.prm.bench.problems import problems_of
from reasongym.prm.bench.references import worst
from reasongym.prm.blame import failure
from reasongym.prm.evaluation import UNSCORED, fitted_threshold
from reasongym.prm.records import RecordScorer, StepRecord, checked_record_scores, visible_to
from reasongym.seeding import hash64


@dataclass(frozen=True)
class BenchSettings:
    """How a PRM is tested.

    Attributes:
        threshold: scores below it say wrong; None: fitted on the other folds, or on the training file.
        unscored: what a step without a score counts as; a policy of `evaluation.UNSCORED`.
        criterion: the criterion of labels and scores that is tested; "" for the worst of all of them. A PRM of several
            criteria must have it; one of a single other criterion is tested by that, and the report says so.
        batch_size: records handed to the PRM at once; 1 measures the latency of a solution scored by itself.
        bins: bins of the reliability curve.
        folds: of what is fitted.
        group_by: the key of `meta` by which results are split; "" for the first of `GROUPS` that the data has.
    """

    threshold: float | None = 0.0
    unscored: str = "miss"
    criterion: str = ""
    batch_size: int = 1
    bins: int = 10
    folds: int = 5
    group_by: str = ""

    def __post_init__(self) -> None:
        if self.threshold is not None and not -1 <= self.threshold <= 1:
            raise ValueError(f"threshold must lie in [-1, 1], or be None to be fitted, got {self.threshold!r}")
        if self.unscored not in UNSCORED:
            raise unknown("policy for unscored steps", self.unscored, UNSCORED)
        for name, least in (("batch_size", 1), ("bins", 1), ("folds", 2)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")


@dataclass(frozen=True)
class Scored:
    """What a PRM made of n records.

    Attributes:
        scores: n arrays (T, k), as the PRM gave them.
        steps: n arrays (T,), the score of each step: its worst criterion, or the one that is tested.
        thresholds: (n,) below which a step of the record is said to be wrong.
        tested_by: the criterion whose scores `steps` are; "" the worst of all.
        seconds: (batches,) time of each call of the PRM's own `score_records`.
        sizes: (batches,) steps of each call.
        criteria, version: of the PRM; of a fitted one, of its first fold.
        label_meaning: "correctness" or "value".
        any_criterion: whether the PRM says of itself that its score is of whatever criterion is tested.
        windowed: how many prompts and steps the PRM read in part, being longer than its window; None where it does not say.
    """

    scores: list[np.ndarray]
    steps: list[np.ndarray]
    thresholds: np.ndarray
    tested_by: str
    seconds: np.ndarray
    sizes: np.ndarray
    criteria: tuple[str, ...]
    version: str
    label_meaning: str
    windowed: int | None = None
    any_criterion: bool = False


def labels_of(records: Sequence[StepRecord]) -> list[np.ndarray]:
    """(T,) labels each, the worst of all criteria."""
    return [worst(record.labels) for record in records]


def of_criterion(records: Sequence[StepRecord], criterion: str) -> Sequence[StepRecord]:
    """The records with this criterion alone, unscored in a record that lacks it; all as they are where it is "".

    Raises:
        DataError: no record has the criterion.
    """
    if not criterion or not len(records):
        return records
    if not any(criterion in record.criteria for record in records):
        known = sorted({name for record in records for name in record.criteria})
        raise DataError(f"no record has the criterion {criterion!r}; there are {', '.join(known)}")
    out = []
    for record in records:
        labels, reasons = np.full((len(record), 1), np.nan, np.float32), None
        if criterion in record.criteria:
            c = record.criteria.index(criterion)
            labels, reasons = record.labels[:, c : c + 1], record.reasons and tuple((line[c],) for line in record.reasons)
        out.append(replace(record, criteria=(criterion,), labels=labels, reasons=reasons))
    return out


def criterion_of(scorer: RecordScorer, criterion: str, name: str) -> str:
    """The criterion whose scores are tested: the one asked for, or the PRM's only one; "" the worst of all.

    Raises:
        PRMError: it has several, and not the one asked for.
    """
    if not criterion or criterion in scorer.criteria:
        return criterion
    if len(scorer.criteria) > 1:
        raise PRMError(
            f"{name} does not score the criterion {criterion!r}; it has {', '.join(scorer.criteria)}: test one of these, or "
            "name no criterion, and the worst of all is tested"
        )
    return scorer.criteria[0]


def folds_of(records: Sequence[StepRecord], folds: int) -> np.ndarray:
    """(n,) the fold of each record; two problems or more fill at least two."""
    problems = problems_of(records)
    dealt = sorted(set(problems), key=lambda name: (hash64("\n".join(name)), name))
    place = {name: i % folds for i, name in enumerate(dealt)}
    return np.array([place[name] for name in problems])


def score(
    prm: RecordScorer | Unfitted,
    records: Sequence[StepRecord],
    settings: BenchSettings,
    train: Sequence[StepRecord] = (),
    name: str = "prm",
) -> Scored:
    """Scores all records.

    Args:
        prm: a scorer, or what must be fitted to become one.
        records: at least one; where one criterion is tested, of it alone (`of_criterion`), as is `train`.
        settings: see there.
        train: what is fitted is fitted on these instead of on the other folds.
        name: of the PRM, for the progress bar and for errors.

    Raises:
        PRMError: the PRM broke its contract, or failed; then its own error is the cause.
    """
    fold = folds_of(records, settings.folds)
    seconds: list[float] = []
    sizes: list[int] = []
    scores: list[np.ndarray] = [np.empty(0)] * len(records)
    fits = isinstance(prm, Unfitted) and not hasattr(prm, "score_records")
    scorer: RecordScorer | None = None
    windowed, counts = 0, False
    for held_out in [np.ones(len(records), bool)] if not fits or train else [fold == f for f in np.unique(fold)]:
        fitted = _fit(prm, _others(records, held_out, train), name) if fits else prm
        scorer = scorer or fitted  # type: ignore[assignment]
        here = np.flatnonzero(held_out)
        before = getattr(fitted, "windowed", None)
        starts = range(0, len(here), settings.batch_size)
        for start in tqdm(starts, name, leave=False, disable=None):  # None: silent where nobody looks
            rows = here[start : start + settings.batch_size]
            batch = [records[i] for i in rows]
            found, spent = _call(fitted, batch, rows, name)  # type: ignore[arg-type]
            seconds.append(spent)
            sizes.append(sum(map(len, batch)))
            for i, values in zip(rows, found, strict=True):
                scores[i] = values
        if before is not None:
            windowed, counts = windowed + fitted.windowed - before, True  # type: ignore[union-attr]
    assert scorer is not None
    by = criterion_of(scorer, settings.criterion, name)
    steps = [values[:, scorer.criteria.index(by)] if by else worst(values) for values in scores]
    if settings.threshold is not None:
        thresholds = np.full(len(records), settings.threshold)
    else:
        thresholds = _fitted(prm, records, steps, fold, settings, train, name)
    meaning = getattr(scorer, "label_meaning", "correctness")
    of_any = bool(getattr(scorer, "any_criterion", False))
    times = np.array(seconds), np.array(sizes)
    return Scored(
        scores, steps, thresholds, by, *times, scorer.criteria, scorer.version, meaning, windowed if counts else None, of_any
    )  # fmt: skip


def _fit(prm: Any, others: Sequence[StepRecord], name: str) -> RecordScorer:
    try:
        return prm.fit(others)
    except ReasonGymError:
        raise
    except Exception as error:
        raise failure(f"{name} failed when it was fitted on {len(others)} records", error) from error


def _call(scorer: RecordScorer, batch: Sequence[StepRecord], rows: np.ndarray, name: str) -> tuple[list[np.ndarray], float]:
    """The checked scores of a batch, and the seconds that the PRM itself took; an exception of its own says which records it
    could not score."""
    shown = visible_to(scorer, batch)
    try:
        began = time.perf_counter()
        found = scorer.score_records(shown)
        spent = time.perf_counter() - began
        return checked_record_scores(scorer, batch, found), spent
    except ReasonGymError:
        raise
    except Exception as error:
        which = f"record {rows[0] + 1}" if len(rows) == 1 else f"records {rows[0] + 1} to {rows[-1] + 1}"
        raise failure(f"{name} failed on {which} ({batch[0].prompt[:60]!r}...)", error) from error


def _fitted(
    prm: RecordScorer | Unfitted,
    records: Sequence[StepRecord],
    steps: list[np.ndarray],
    fold: np.ndarray,
    settings: BenchSettings,
    train: Sequence[StepRecord],
    name: str,
) -> np.ndarray:
    """(n,) thresholds, each fitted on other folds than the record's, or all on the training records."""
    if train:
        plain = BenchSettings(criterion=settings.criterion, batch_size=settings.batch_size, folds=settings.folds)
        known = score(prm, train, plain, name=name).steps
        return np.full(len(records), fitted_threshold(labels_of(train), known, settings.unscored))
    labels, out = labels_of(records), np.zeros(len(records))
    for f in np.unique(fold):
        others = np.flatnonzero(fold != f)
        _others(records, fold == f, ())
        out[fold == f] = fitted_threshold([labels[i] for i in others], [steps[i] for i in others], settings.unscored)
    return out


def _others(records: Sequence[StepRecord], held_out: np.ndarray, train: Sequence[StepRecord]) -> Sequence[StepRecord]:
    others = train or [record for record, out in zip(records, held_out, strict=True) if not out]
    if not others:
        raise DataError(
            f"{len(records)} records of one problem leave nothing to fit on: give a file to fit on (--train), or more problems"
        )
    return others
