"""Statistics over runs and tasks: what a few seeds say, and how surely (Agarwal et al. 2021, arXiv 2108.13264).

Runs of a row are given by task, `[[0.9, 0.8], [0.4, 0.5, 0.3]]`: two runs of a first task, three of a second; rows are
compared on the same tasks in the same order. Formulas are those of the paper's library, `rliable`; in addition tasks may have
different numbers of runs, and tasks may be drawn anew as well as runs. Beside them what one run's learning curve says.

Axes: M tasks, R repetitions of the bootstrap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

ByTask = Sequence[Sequence[float]]
"""M sequences: the runs of each task."""
REPETITIONS = 2_000


class Estimate(NamedTuple):
    """A statistic with its interval."""

    value: float
    low: float
    high: float


def iqm(runs: ByTask) -> float:
    """Interquartile mean: of all runs pooled, without the lowest and the highest quarter (rounded down to whole runs)."""
    pooled = np.sort(np.concatenate([np.asarray(task, float) for task in runs]))
    cut = len(pooled) // 4
    return float(pooled[cut : len(pooled) - cut].mean())


def mean(runs: ByTask) -> float:
    """Mean over tasks of the mean over runs."""
    return float(np.mean([np.mean(task) for task in runs]))


def performance_profile(runs: ByTask, thresholds: Sequence[float]) -> np.ndarray:
    """(T,) for each of T thresholds, the share of runs strictly above it, as the mean over tasks."""
    levels = np.asarray(thresholds, float)
    return np.mean([(np.asarray(task, float)[:, None] > levels).mean(0) for task in _checked(runs)], axis=0)


def probability_of_improvement(ours: ByTask, theirs: ByTask) -> float:
    """How often a run of ours is above one of theirs, a tie counting half, as the mean over tasks.

    Raises:
        ValueError: not the same number of tasks, or a task without runs.
    """
    ours, theirs = _checked(ours), _checked(theirs)
    if len(ours) != len(theirs):
        raise ValueError(f"rows are compared on the same tasks, got {len(ours)} and {len(theirs)}")
    shares = []
    for x, y in zip(ours, theirs, strict=True):
        differences = np.subtract.outer(np.asarray(x, float), np.asarray(y, float))
        shares.append(((np.sign(differences) + 1) / 2).mean())
    return float(np.mean(shares))


def bootstrap(
    statistic: Callable[..., float],
    *rows: ByTask,
    tasks: bool = False,
    level: float = 0.95,
    repetitions: int = REPETITIONS,
    seed: int = 0,
) -> Estimate:
    """A statistic of one or several rows, with its percentile interval by stratified bootstrap: runs are drawn within tasks.

    Args:
        statistic: of as many rows as are given.
        rows: runs by task; each is drawn from for itself.
        tasks: whether tasks are drawn, too, the same ones for all rows: how far the result would hold for tasks like these.
        level: of the interval.
        repetitions: R.
        seed: of the drawing.

    Raises:
        ValueError: a row without tasks, or a task without runs.
    """
    kept = [[np.asarray(task, float) for task in _checked(row)] for row in rows]
    generator = np.random.default_rng(np.random.SeedSequence(seed))
    found = np.empty(repetitions)
    for r in range(repetitions):
        count = len(kept[0])
        order = generator.integers(count, size=count) if tasks else range(count)
        drawn = [[generator.choice(row[task], len(row[task])) for task in order] for row in kept]
        found[r] = statistic(*drawn)
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(statistic(*kept), float(low), float(high))


def area_under_curve(at: Sequence[float], values: Sequence[float], horizon: float) -> float:
    """Mean height of a learning curve on [0, horizon], by the trapezoid rule.

    The curve begins at (0, 0) unless it has a value at 0, is cut at the horizon, and stays at its last value if it ends before.

    Args:
        at: where it was measured (frames, seconds), not falling.
        values: as many.
        horizon: greater than 0.

    Raises:
        ValueError: another number of values, places that fall, no value, or a horizon that is not positive.
    """
    if len(at) != len(values) or not len(at) or not horizon > 0 or any(b < a for a, b in pairwise(at)):
        raise ValueError(
            f"a curve needs places that do not fall, a value each, and a horizon above 0; got {len(at)} places, "
            f"{len(values)} values, horizon {horizon!r}"
        )
    x, y = np.asarray(at, float), np.asarray(values, float)
    if x[0] > 0:
        x, y = np.append(0.0, x), np.append(0.0, y)
    inside = x < horizon
    x, y = np.append(x[inside], horizon), np.append(y[inside], np.interp(horizon, x, y))
    return float((np.diff(x) * (y[1:] + y[:-1]) / 2).sum() / horizon)


def median_time(times: Sequence[float], reached: Sequence[bool]) -> float:
    """Median time to reach something, when some runs ended before they reached it (Kaplan and Meier, 1958).

    A run that did not reach it says only that it takes longer than it lasted: it is censored, neither dropped nor counted as
    if it had. One that never will (it diverged) lasted infinitely long.

    Returns:
        The least time by which half have reached it; infinite where the runs do not tell.

    Raises:
        ValueError: not as many of the one as of the other.
    """
    left, going_on = len(times), 1.0
    for time, hit in sorted(zip(times, reached, strict=True), key=lambda pair: (pair[0], not pair[1])):
        if hit:
            going_on *= 1 - 1 / left
        if going_on <= 0.5 + 1e-12:
            return float(time)
        left -= 1
    return math.inf


def _checked(runs: ByTask) -> ByTask:
    if not len(runs) or not all(len(task) for task in runs):
        raise ValueError(f"every task needs at least one run, got {[len(task) for task in runs]} runs a task")
    return runs
