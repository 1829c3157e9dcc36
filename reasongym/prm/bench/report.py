"""The report of the bench: every number of every PRM on one set of records, as a dict that JSON can hold (undefined = None).

`intervals` of a PRM, and `difference` of a pair in `agreement` (the first less the second), are 95% intervals over problems.
"""

from __future__ import annotations

import math
import platform
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from itertools import combinations
from typing import Any

import numpy as np

from reasongym.errors import DataError
from reasongym.prm import evaluation
from reasongym.prm.bench import intervals
from reasongym.prm.bench.loading import Unfitted, as_scorer
from reasongym.prm.bench.problems import problems_of
from reasongym.prm.bench.scoring import BenchSettings, Scored, criterion_of, labels_of, of_criterion, score
from reasongym.prm.formats import RecordSet
from reasongym.prm.records import RecordScorer, StepRecord

GROUPS = ("classification", "subset", "group", "set")
"""Keys of `meta` by which results are split where none is asked for."""
APART = ("multi_solutions", "correct")
"""Classes of PRMBench that are not pooled: no error was planted in them."""
RIGHT_SOLUTIONS = "correct"
"""The one of them that counts as right solutions for the earliest-error F1."""
Names = Mapping[str, RecordScorer | Unfitted]


def bench(
    prms: Names,
    records: Sequence[StepRecord],
    settings: BenchSettings | None = None,
    *,
    train: Sequence[StepRecord] = (),
    progress: Callable[[str, dict[str, Any]], None] = lambda name, row: None,
) -> dict[str, Any]:
    """Tests PRMs on records.

    Args:
        prms: scorers by name; also PRMs of environments, and what must be fitted first.
        records: what `read_records` gave, or any records.
        settings: how; the defaults where None.
        train: what is fitted is fitted on these, not on the other folds of `records`.
        progress: is handed each PRM's name and part as soon as it is there.

    Raises:
        DataError: no records, or none with a label.
        PRMError: a PRM broke its contract, or has several criteria and not the one that is tested.
    """
    settings = settings or BenchSettings()
    if not len(records):
        raise DataError("there are no records to test on")
    tested = of_criterion(records, settings.criterion)
    train, labels = of_criterion(train, settings.criterion), labels_of(tested)
    if all(np.isnan(label).all() for label in labels):
        raise DataError(f"none of {len(records)} records has a label: there is nothing to test against")
    report: dict[str, Any] = {
        "settings": asdict(settings),
        "versions": {name: version(name) for name in ("reasongym", "numpy")} | {"python": platform.python_version()},
        "data": _about(records, labels),
        "prms": {},
    }
    scorers = {name: as_scorer(prm, name) for name, prm in prms.items()}
    for name, scorer in scorers.items():  # before anything is scored: a judge costs money
        if hasattr(scorer, "criteria"):
            criterion_of(scorer, settings.criterion, name)  # type: ignore[arg-type]  # what is fitted may have none yet
    scored, resampled = {}, {}
    names = problems_of(records)
    number = {name: i for i, name in enumerate(sorted(set(names)))}
    problems = np.array([number[name] for name in names])
    for name, scorer in scorers.items():
        scored[name] = score(scorer, tested, settings, train, name)
        row = _row(tested, problems, labels, scored[name], settings)
        resampled[name] = intervals.resampled(_tally(records, problems, labels, scored[name], settings.unscored))
        row["intervals"] = _intervals(resampled[name])
        if scored[name].tested_by != settings.criterion and not scored[name].any_criterion:
            row["tested_by"] = scored[name].tested_by
        report["prms"][name] = row
        progress(name, row)
    report["agreement"] = {
        f"{a} / {b}": {**_agreement(scored[a], scored[b]), "difference": _intervals(resampled[a] - resampled[b])}
        for a, b in combinations(scored, 2)
    }
    return _without_nan(report)


def _about(records: Sequence[StepRecord], labels: list[np.ndarray]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if isinstance(records, RecordSet):
        out = {"layout": records.layout, "digest": records.digest, "skipped": records.skipped}
        out |= {"faults": list(records.faults), "left_out": dict(records.left_out)}
    pooled = [i for i, record in enumerate(records) if _classification(record) not in APART]
    out["records"], out["pooled"] = len(records), len(pooled)
    out["steps"] = sum(len(labels[i]) for i in pooled)
    out["labelled"] = int(sum((~np.isnan(labels[i])).sum() for i in pooled))
    out["wrong"] = int(sum((labels[i] < 0).sum() for i in pooled))
    apart = Counter(_classification(record) for record in records)
    out["apart"] = {name: apart[name] for name in APART if name in apart}
    counted = [label for record, label in zip(records, labels, strict=True) if _classification(record) not in APART[:1]]
    out["partly_labelled"] = sum(evaluation.has_error(label) is None and not np.isnan(label).all() for label in counted)
    out["past_the_end"] = sum("past_the_end" in record.meta for record in records)
    return out


def _row(
    records: Sequence[StepRecord], problems: np.ndarray, labels: list[np.ndarray], scored: Scored, settings: BenchSettings
) -> dict[str, Any]:
    """One PRM's part of the report."""

    def part(rows: Sequence[int]) -> dict[str, Any]:
        return _numbers([labels[i] for i in rows], [scored.steps[i] for i in rows], scored.thresholds[list(rows)], settings)

    pooled = [i for i, record in enumerate(records) if _classification(record) not in APART]
    right = [i for i, record in enumerate(records) if _classification(record) == RIGHT_SOLUTIONS]
    out: dict[str, Any] = {"version": scored.version, "criteria": list(scored.criteria), "label_meaning": scored.label_meaning}
    out |= part(pooled)
    if right:
        out["earliest_error"] = part([*pooled, *right])["earliest_error"]
    thresholds = np.unique(scored.thresholds)
    out["threshold"] = float(thresholds[0]) if len(thresholds) == 1 else thresholds.tolist()
    whole = [i for i in pooled if "past_the_end" not in records[i].meta]
    if len(whole) < len(pooled):
        out["without_past_the_end"] = part(whole)
    names = [_classification(record) for record in records]
    out["apart"] = {name: part([i for i, own in enumerate(names) if own == name]) for name in APART if name in names}
    out["groups"] = _groups(records, pooled, part, settings.group_by)
    out["criteria_auc"] = _criteria(records, pooled, scored)
    out["best_of_n"] = _best_of_n(records, problems, scored)
    out["latency"] = _latency(scored, settings)
    if scored.windowed is not None:
        out["windowed"] = scored.windowed
    return out


def _tally(
    records: Sequence[StepRecord], problems: np.ndarray, labels: list[np.ndarray], scored: Scored, unscored: str
) -> np.ndarray:
    """As `intervals.tally`, of the records that are pooled or count as right solutions."""
    pooled = np.array([_classification(record) not in APART for record in records])
    counts = [i for i, record in enumerate(records) if pooled[i] or _classification(record) == RIGHT_SOLUTIONS]
    judged = [scored.steps[i].astype(np.float64) - scored.thresholds[i] for i in counts]
    found = intervals.tally(problems[counts], [labels[i] for i in counts], judged, pooled[counts], unscored)
    return np.pad(found, ((0, problems.max() + 1 - len(found)), (0, 0)))


def _intervals(values: np.ndarray) -> dict[str, list[float]]:
    return {name: intervals.interval(values[:, c]) for c, name in enumerate(intervals.MEASURES)}


def _numbers(
    labels: list[np.ndarray], scores: list[np.ndarray], thresholds: np.ndarray, settings: BenchSettings
) -> dict[str, Any]:
    """What is measured on any part of the records."""
    judged = [step.astype(np.float64) - threshold for step, threshold in zip(scores, thresholds, strict=True)]
    counts = evaluation.step_counts(labels, judged, unscored=settings.unscored)
    earliest = evaluation.earliest_error(labels, judged, unscored=settings.unscored)
    labelled = sum(int((~np.isnan(label)).sum()) for label in labels)
    both = sum(int((~np.isnan(label) & ~np.isnan(step)).sum()) for label, step in zip(labels, scores, strict=True))
    curve = evaluation.reliability(labels, scores, settings.bins)
    return {
        "records": len(labels),
        "prm_score": counts.score,
        "f1": counts.f1,
        "negative_f1": counts.negative_f1,
        "counts": counts._asdict(),
        "earliest_error": earliest._asdict(),
        "auc": evaluation.step_auc(labels, scores),
        "calibration_error": evaluation.calibration_error(labels, scores, settings.bins),
        "calibration_error_unbalanced": evaluation.calibration_error(labels, scores, settings.bins, balanced=False),
        "reliability": {name: column.tolist() for name, column in curve._asdict().items()},
        "scored": both / labelled if labelled else math.nan,
    }


def _groups(records: Sequence[StepRecord], pooled: list[int], part: Callable, by: str) -> dict[str, Any]:
    """Results by a key of `meta`, and the mean earliest-error F1 over the groups (ProcessBench averages over its subsets)."""
    key = by or next((key for key in GROUPS if any(key in records[i].meta for i in pooled)), "")
    if by and not any(by in records[i].meta for i in pooled):
        known = sorted({name for record in records for name in record.meta})
        raise DataError(f"no record has {by!r} in its meta; there are {', '.join(known) or 'no keys'}")
    values = sorted({str(records[i].meta.get(key, "")) for i in pooled}) if key else []
    kept = ("records", "prm_score", "f1", "negative_f1", "counts", "earliest_error", "auc", "calibration_error")
    rows = {}
    for value in values:
        numbers = part([i for i in pooled if str(records[i].meta.get(key, "")) == value])
        rows[value] = {name: numbers[name] for name in kept}
    mean = float(np.mean([row["earliest_error"]["f1"] for row in rows.values()])) if rows else math.nan
    return {"by": key, "mean_earliest_error_f1": mean, "parts": rows}


def _criteria(records: Sequence[StepRecord], pooled: list[int], scored: Scored) -> dict[str, float]:
    """Step AUC of each criterion that both the PRM and the labels have."""
    out = {}
    for c, name in enumerate(scored.criteria):
        rows = [i for i in pooled if name in records[i].criteria]
        if rows:
            columns = [records[i].labels[:, records[i].criteria.index(name)] for i in rows]
            out[name] = evaluation.step_auc(columns, [scored.scores[i][:, c] for i in rows])
    return out


def _best_of_n(records: Sequence[StepRecord], problems: np.ndarray, scored: Scored) -> dict[str, Any] | None:
    """Best-of-N by every aggregation; None where no problem has two solutions of known outcome."""
    whose, outcomes = problems.tolist(), [record.outcome for record in records]
    fitting = evaluation.FITTING.get(scored.label_meaning, "min")
    out: dict[str, Any] = {"fitting": fitting}
    for how in evaluation.AGGREGATORS:
        found = evaluation.best_of_n(whose, outcomes, [evaluation.aggregate(step, how) for step in scored.steps])
        out[how] = found._asdict()
    return out if out[fitting]["problems"] else None


def _latency(scored: Scored, settings: BenchSettings) -> dict[str, float]:
    """Milliseconds a step: the time of a call shared among its steps, percentiles over steps."""
    each = np.repeat(scored.seconds / scored.sizes, scored.sizes) * 1000
    p50, p95 = np.percentile(each, [50, 95])
    rate = float(scored.sizes.sum() / scored.seconds.sum())
    return {"p50_ms": float(p50), "p95_ms": float(p95), "steps_per_second": rate, "batch_size": settings.batch_size}


def _agreement(one: Scored, other: Scored) -> dict[str, float]:
    """Cohen's kappa of the verdicts and Spearman's correlation of the scores, on the steps that both scored."""
    verdicts, scores = [], []
    for part in (one, other):
        scores.append(np.concatenate(part.steps))
        verdicts.append(
            np.concatenate([step.astype(float) >= low for step, low in zip(part.steps, part.thresholds, strict=True)])
        )
    kept = ~np.isnan(scores[0]) & ~np.isnan(scores[1])
    kappa = evaluation.cohen_kappa(verdicts[0][kept], verdicts[1][kept])
    return {"kappa": kappa, "spearman": evaluation.spearman(scores[0][kept], scores[1][kept]), "steps": int(kept.sum())}


def _classification(record: StepRecord) -> Any:
    """The class of a row of PRMBench; None of all other records, whatever they call so."""
    return record.meta.get("classification") if record.meta.get("layout") == "prmbench" else None


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
