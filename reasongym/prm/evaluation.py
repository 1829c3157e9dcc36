"""The numbers that process reward models are tested with, on arrays of labels and scores.

A label below 0 is a wrong step, any other right (0, neutral, as Lightman et al. count it), NaN unlabelled and out of the count.
A score below the threshold says wrong, any other right. A step that the PRM left unscored (NaN) is, by `unscored`, a
"miss" (counts against the PRM, whatever the label), "right" (no objection), or is "skip"ped.

Labels and scores are one (T,) array a record. Shares lie in [0, 1]; NaN = undefined (nothing to count).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

from reasongym.errors import unknown
from reasongym.metrics.statistics import auc

UNSCORED = ("miss", "right", "skip")
Arrays = Sequence[np.ndarray]


class StepCounts(NamedTuple):
    """Steps counted, a right step being the positive class: `tp` right and said so, `tn` wrong and said so."""

    tp: int
    fp: int
    tn: int
    fn: int

    @property
    def f1(self) -> float:
        """F1 of finding right steps; NaN where no step is right and none was said to be."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def negative_f1(self) -> float:
        """F1 of finding wrong steps; NaN where no step is wrong and none was said to be."""
        return _ratio(2 * self.tn, 2 * self.tn + self.fp + self.fn)

    @property
    def score(self) -> float:
        """PRMScore = 0.5 F1 + 0.5 negative F1 (Song et al., 2025)."""
        return 0.5 * self.f1 + 0.5 * self.negative_f1


class EarliestError(NamedTuple):
    """How often the earliest error was named (ProcessBench: Zheng et al., 2024).

    Attributes:
        f1: harmonic mean of the two shares.
        on_wrong: share of solutions with an error where just the earliest was named.
        on_right: share of solutions without an error where none was named.
        wrong, right: how many solutions of either kind.
        partly: solutions that are neither, for want of labels (see `has_error`), and count nowhere.
    """

    f1: float
    on_wrong: float
    on_right: float
    wrong: int
    right: int
    partly: int = 0


class Bins(NamedTuple):
    """A reliability curve: (b,) mean confidence, share of right steps and total weight by bin; empty bins are left out."""

    confidence: np.ndarray
    accuracy: np.ndarray
    weight: np.ndarray


def step_counts(labels: Arrays, scores: Arrays, threshold: float = 0.0, unscored: str = "miss") -> StepCounts:
    """All labelled steps, pooled."""
    label, score = _flat(labels, scores)
    right, says = label >= 0, score >= threshold
    says = _filled(says, score, right, unscored)
    kept = ~np.isnan(label) if unscored != "skip" else ~np.isnan(label) & ~np.isnan(score)
    right, says = right[kept], says[kept]
    tp, fp, tn = ((right & says).sum(), (~right & says).sum(), (~right & ~says).sum())
    return StepCounts(int(tp), int(fp), int(tn), int((right & ~says).sum()))


def first_wrong(values: np.ndarray, threshold: float = 0.0) -> int:
    """The index of the first value below the threshold, -1 for none; NaN is not below."""
    found = np.flatnonzero(values < threshold)
    return int(found[0]) if len(found) else -1


def has_error(label: np.ndarray) -> bool | None:
    """Whether a solution with these (T,) labels has an error; None where they do not say.

    It is right where every step is labelled and none is wrong. The earliest error of a wrong one is known where all steps
    before it are labelled; what follows it need not be (ProcessBench's annotators stopped there).
    """
    gold = first_wrong(label)
    unknown_yet = np.isnan(label if gold < 0 else label[:gold]).any()
    return None if unknown_yet else gold >= 0


def earliest_error(labels: Arrays, scores: Arrays, threshold: float = 0.0, unscored: str = "miss") -> EarliestError:
    """ProcessBench's F1; records that `has_error` cannot tell are left out, and counted unless they have no label at all.

    With "miss", a record is missed where a step is unscored before the first objection (or before the end, without one).
    """
    _check_policy(unscored)
    hits: dict[bool, list[bool]] = {True: [], False: []}
    partly = 0
    for label, score in zip(labels, scores, strict=True):
        wrong = has_error(label)
        if wrong is None:
            partly += not np.isnan(label).all()
            continue
        gold, named = first_wrong(label), first_wrong(score, threshold)
        looked_at = score if named < 0 else score[:named]
        if unscored == "skip" and np.isnan(score).all():
            continue
        missed = unscored == "miss" and np.isnan(looked_at).any()
        hits[wrong].append(named == gold and not missed)
    on_wrong, on_right = (_ratio(sum(hits[kind]), len(hits[kind])) for kind in (True, False))
    both = on_wrong + on_right
    f1 = 0.0 if both == 0 else 2 * on_wrong * on_right / both
    return EarliestError(f1, on_wrong, on_right, len(hits[True]), len(hits[False]), partly)


def step_auc(labels: Arrays, scores: Arrays) -> float:
    """How often a right step scores above a wrong one, over all pairs of labelled and scored steps; 0.5 by chance."""
    label, score = _flat(labels, scores)
    kept = ~np.isnan(label) & ~np.isnan(score)
    return auc(score[kept].tolist(), (label[kept] >= 0).tolist())


def reliability(labels: Arrays, scores: Arrays, bins: int = 10, balanced: bool = True) -> Bins:
    """Bins of equal width over the confidence p = (score + 1) / 2 that a step is right.

    Args:
        labels, scores: steps without either are left out.
        bins: how many.
        balanced: right steps together weigh as much as wrong ones, so that a PRM that is sure of everything gains nothing
            from a file of mostly right steps; False: every step weighs the same.
    """
    label, score = _flat(labels, scores)
    kept = ~np.isnan(label) & ~np.isnan(score)
    right, p = label[kept] >= 0, (score[kept].astype(float) + 1) / 2
    weight = np.full(len(p), 1 / max(len(p), 1))
    if balanced:
        counts = np.array([(~right).sum(), right.sum()])
        if not counts.all():
            weight = weight * np.nan
        else:
            weight = (0.5 / counts)[right.astype(int)]
    place = np.minimum((p * bins).astype(int), bins - 1)
    total, confidence, accuracy = (np.bincount(place, weight * x, bins) for x in (np.ones_like(p), p, right))
    some = np.bincount(place, minlength=bins) > 0
    total = total[some]
    return Bins(confidence[some] / total, accuracy[some] / total, total)


def calibration_error(labels: Arrays, scores: Arrays, bins: int = 10, balanced: bool = True) -> float:
    """Expected calibration error: Σ_b w_b |accuracy_b - confidence_b|, class-balanced by default; see `reliability`."""
    curve = reliability(labels, scores, bins, balanced)
    return float((curve.weight * np.abs(curve.accuracy - curve.confidence)).sum()) if len(curve.weight) else float("nan")


def cohen_kappa(one: np.ndarray, other: np.ndarray) -> float:
    """Agreement of two (n,) bool verdicts beyond chance (Cohen, 1960); NaN where both always say the same one thing."""
    agree = float((one == other).mean()) if len(one) else float("nan")
    yes, yes_too = (float(x.mean()) if len(x) else float("nan") for x in (one, other))
    chance = yes * yes_too + (1 - yes) * (1 - yes_too)
    return _ratio(agree - chance, 1 - chance)


def spearman(one: np.ndarray, other: np.ndarray) -> float:
    """Rank correlation of two (n,) arrays, ties at their mean rank (Spearman, 1904); NaN where one is constant."""
    ranks = np.stack([_ranks(one), _ranks(other)]) if len(one) else np.zeros((2, 0))
    centred = ranks - ranks.mean(axis=1, keepdims=True) if len(one) else ranks
    size = np.sqrt((centred**2).sum(axis=1)).prod()
    return _ratio(float((centred[0] * centred[1]).sum()), float(size))


AGGREGATORS = ("min", "product", "mean", "last")
VALUES = ("hard", "soft")
"""Criteria whose labels are the value of the state after a step: how often completions succeed (`agents.labels`)."""
FITTING = {"correctness": "min", "value": "last"}
"""How a solution is scored from its steps: a chain of right steps is as right as its weakest (min, or product), the value of a
state already holds all that went before (last). With the wrong one best-of-N orderings turn around (Zhang et al., 2025, arXiv 2501.07301)."""  # noqa: E501


def meaning_of(criteria: Sequence[str]) -> str:
    """A key of `FITTING`: "value" where labels of these criteria say how good the state after a step is, else "correctness"."""
    return "value" if criteria and all(name in VALUES for name in criteria) else "correctness"


def aggregate(scores: np.ndarray, how: str) -> float:
    """One number for a solution from its (T,) step scores, unscored ones left out: min, mean or last of the scores, or the
    product of p = (score + 1) / 2. NaN where no step is scored."""
    scored = scores[~np.isnan(scores)].astype(float)
    if how not in AGGREGATORS:
        raise unknown("aggregator", how, AGGREGATORS)
    if not len(scored):
        return float("nan")
    if how == "product":
        return float(((scored + 1) / 2).prod())
    return float({"min": scored.min, "mean": scored.mean, "last": lambda: scored[-1]}[how]())


class BestOf(NamedTuple):
    """Best-of-N: `accuracy` is the mean outcome of the solution picked for each problem, a tie counting its mean.

    Attributes:
        accuracy, random, oracle: picked by the PRM; any; the best there is.
        problems, candidates: problems with at least two candidates, and all of these.
    """

    accuracy: float
    random: float
    oracle: float
    problems: int
    candidates: int


def best_of_n(problems: Sequence[Hashable], outcomes: Sequence[float], values: Sequence[float]) -> BestOf:
    """Picks, for each problem, the candidate of highest value; an unscored one (NaN) only where all are.

    Args:
        problems: whose candidate each is.
        outcomes: in [0, 1]; a candidate of unknown outcome (NaN) is left out.
        values: one number a candidate, e.g. of `aggregate`.
    """
    groups: dict[Hashable, list[tuple[float, float]]] = defaultdict(list)
    for problem, outcome, value in zip(problems, outcomes, values, strict=True):
        if not np.isnan(outcome):
            groups[problem].append((-np.inf if np.isnan(value) else value, outcome))
    several = [np.array(group) for group in groups.values() if len(group) > 1]
    picked = [group[group[:, 0] == group[:, 0].max(), 1].mean() for group in several]
    columns = (picked, [group[:, 1].mean() for group in several], [group[:, 1].max() for group in several])
    means = [float(np.mean(column)) if several else float("nan") for column in columns]
    return BestOf(means[0], means[1], means[2], len(several), sum(map(len, several)))


def fitted_threshold(labels: Arrays, scores: Arrays, unscored: str = "miss", most: int = 101) -> float:
    """The threshold of the best earliest-error F1 where there are solutions of both kinds, else of the best PRMScore.

    Args:
        labels, scores: of a training part, never of what is reported.
        unscored: see the module's docstring.
        most: candidates tried: quantiles of the scores. Of equals the lowest is taken.
    """
    _, score = _flat(labels, scores)
    known = np.unique(score[~np.isnan(score)].astype(float))
    if not len(known):
        return 0.0
    between = np.concatenate([[known[0]], (known[1:] + known[:-1]) / 2, [np.nextafter(known[-1], np.inf)]])
    candidates = between if len(between) <= most else np.unique(np.quantile(between, np.linspace(0, 1, most)))
    kinds = {has_error(label) for label in labels} - {None}

    def worth(threshold: float) -> float:
        if len(kinds) == 2:
            return earliest_error(labels, scores, threshold, unscored).f1
        return step_counts(labels, scores, threshold, unscored).score

    worths = np.array([worth(float(threshold)) for threshold in candidates])
    return float(candidates[np.argmax(np.nan_to_num(worths, nan=-1))])


def _flat(labels: Arrays, scores: Arrays) -> tuple[np.ndarray, np.ndarray]:
    for i, (label, score) in enumerate(zip(labels, scores, strict=True)):
        if label.shape != score.shape or label.ndim != 1:
            raise ValueError(
                f"record {i} has labels of shape {label.shape} and scores of shape {score.shape}; expected (T,) twice"
            )
    empty = [np.zeros(0, np.float32)]
    return np.concatenate([*empty, *labels]), np.concatenate([*empty, *scores])


def _check_policy(unscored: str) -> None:
    if unscored not in UNSCORED:
        raise unknown("policy for unscored steps", unscored, UNSCORED)


def _filled(says: np.ndarray, score: np.ndarray, right: np.ndarray, unscored: str) -> np.ndarray:
    """Verdicts with those of unscored steps filled in."""
    _check_policy(unscored)
    return np.where(np.isnan(score), ~right if unscored == "miss" else True, says)


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def _ranks(values: np.ndarray) -> np.ndarray:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]
