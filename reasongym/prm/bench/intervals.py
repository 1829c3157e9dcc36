"""95% intervals by resampling problems, and of differences between two PRMs on the same problems (paired).

Steps of one solution, and solutions of one problem, are not independent, so problems are drawn (with replacement), never steps
(percentile bootstrap: Efron, 1979). All PRMs of a report share the draws.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reasongym.prm.evaluation import earliest_error, step_counts
from reasongym.seeding import rng

RESAMPLES = 1000
_AT_ONCE = 50
"""Draws held in memory: one is as long as there are problems."""
MEASURES = ("prm_score", "earliest_error_f1")


def tally(
    problems: np.ndarray, labels: Sequence[np.ndarray], judged: Sequence[np.ndarray], pooled: np.ndarray, unscored: str
) -> np.ndarray:
    """What adds up over records, by problem.

    Args:
        problems: (n,) the number of each record's problem, from 0.
        labels, judged: n arrays (T,); scores less their threshold.
        pooled: (n,) bool, whose steps count.
        unscored: the policy.

    Returns:
        (problems, 8): tp, fp, tn, fn of the pooled steps; solutions with an error, and those whose earliest was named;
        solutions without, and those where none was.
    """
    out = np.zeros((problems.max() + 1, 8))
    for i, problem in enumerate(problems):
        if pooled[i]:
            out[problem, :4] += step_counts(labels[i : i + 1], judged[i : i + 1], unscored=unscored)
        found = earliest_error(labels[i : i + 1], judged[i : i + 1], unscored=unscored)
        out[problem, 4:] += (
            found.wrong,
            found.on_wrong if found.wrong else 0,
            found.right,
            found.on_right if found.right else 0,
        )
    return out


def resampled(tallies: np.ndarray) -> np.ndarray:
    """(RESAMPLES, 2) the `MEASURES` of each draw; NaN where one is undefined in it. As many problems, the same draws."""
    problems = len(tallies)
    random, even = rng(0, problems), np.full(problems, 1 / problems)
    drawn = [random.multinomial(problems, even, _AT_ONCE) @ tallies for _ in range(RESAMPLES // _AT_ONCE)]
    tp, fp, tn, fn, wrong, named, right, none = np.concatenate(drawn).T
    with np.errstate(invalid="ignore", divide="ignore"):
        score = tp / (2 * tp + fp + fn) + tn / (2 * tn + fp + fn)
        on_wrong, on_right = named / wrong, none / right
        both = on_wrong + on_right
        first = np.where(both == 0, 0, 2 * on_wrong * on_right / both)
    return np.stack([score, first], axis=1)


def interval(values: np.ndarray) -> list[float]:
    """The middle 95% of (r,) values; NaN where none is defined."""
    known = values[~np.isnan(values)]
    return np.percentile(known, [2.5, 97.5]).tolist() if len(known) else [float("nan")] * 2
