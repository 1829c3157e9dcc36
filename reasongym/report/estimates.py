"""From runs to estimates with intervals. All statistics of the page go through here.

With several seeds a row's interval is that of the seeds (stratified bootstrap of the interquartile mean, `metrics.aggregate`);
with one seed a setting it can only be that of the problems (Wilson), which says nothing about another training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from reasongym.metrics import wilson
from reasongym.metrics.aggregate import (
    bootstrap,
    iqm,
    mean,
    median_time,
    performance_profile,
    probability_of_improvement,
)
from reasongym.report.reading import Run

SEEDS, PROBLEMS = "over seeds", "over problems"


@dataclass(frozen=True)
class Interval:
    """A value with its 95% interval, and what the interval is over: seeds, or problems where there is one seed a setting."""

    value: float
    low: float
    high: float
    over: str


def by_setting(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs of each setting, in order of its name."""
    order = sorted(runs, key=lambda run: (run.setting, run.seed))
    return {setting: list(group) for setting, group in groupby(order, key=lambda run: run.setting)}


def successes(runs: Sequence[Run]) -> list[list[float]]:
    """The successes of each setting's runs."""
    return [[run.success for run in group] for group in by_setting(runs).values()]


def score(runs: Sequence[Run]) -> Interval:
    """Interquartile mean of the success over all settings and seeds."""
    tasks = successes(runs)
    if single(runs):
        return _over_problems(runs, iqm(tasks))
    return Interval(*bootstrap(iqm, tasks), SEEDS)


def cell(runs: Sequence[Run]) -> Interval:
    """Mean success in one setting."""
    if len(runs) == 1:
        return Interval(runs[0].success, *runs[0].interval, PROBLEMS)
    return Interval(*bootstrap(mean, successes(runs)), SEEDS)


def single(runs: Sequence[Run]) -> bool:
    """Whether there is a setting with one seed."""
    return any(len(group) == 1 for group in by_setting(runs).values())


def shared(ours: Sequence[Run], theirs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """The runs of two rows in the settings that both have played."""
    both = {run.setting for run in ours} & {run.setting for run in theirs}
    return [run for run in ours if run.setting in both], [run for run in theirs if run.setting in both]


def improvement(ours: Sequence[Run], theirs: Sequence[Run]) -> Interval | None:
    """Probability that a run of ours is above one of theirs in the same setting; None where no setting is shared.

    Where one of them has one seed a setting, the interval is the value itself, "over problems": there is none.
    """
    ours, theirs = shared(ours, theirs)
    if not ours:
        return None
    if single(ours) or single(theirs):  # nothing to draw from: an interval would be a point, and a lie
        value = probability_of_improvement(successes(ours), successes(theirs))
        return Interval(value, value, value, PROBLEMS)
    return Interval(*bootstrap(probability_of_improvement, successes(ours), successes(theirs)), SEEDS)


def difference(ours: Sequence[Run], theirs: Sequence[Run]) -> Interval | None:
    """Mean success of ours minus that of theirs in the settings that both have played; None where there is none."""
    ours, theirs = shared(ours, theirs)
    if not ours:
        return None
    if single(ours) or single(theirs):
        value = mean(successes(ours)) - mean(successes(theirs))
        half = math.hypot(*((i.high - i.low) / 2 for i in (_over_problems(ours, 0.0), _over_problems(theirs, 0.0))))
        return Interval(value, value - half, value + half, PROBLEMS)
    return Interval(*bootstrap(lambda a, b: mean(a) - mean(b), successes(ours), successes(theirs)), SEEDS)


def profile(runs: Sequence[Run], levels: np.ndarray) -> np.ndarray:
    """(T,) for each of T levels, the share of runs above it, each setting counting the same."""
    return performance_profile(successes(runs), levels.tolist())


def threshold(runs: Sequence[Run]) -> tuple[float, int]:
    """Median frames to the threshold (runs that never reached it are censored; infinite where fewer than half did), and how
    many runs reached it. A diverged run never will."""
    lasted = [math.inf if run.status == "diverged" else float(run.threshold or run.frames) for run in runs]
    reached = [run.threshold is not None and run.status != "diverged" for run in runs]
    return median_time(lasted, reached), sum(reached)


def _over_problems(runs: Sequence[Run], value: float) -> Interval:
    """`value` with the Wilson interval of all problems of the runs together."""
    total = sum(run.problems for run in runs)
    low, high = wilson(round(sum(run.success * run.problems for run in runs)), total)
    return Interval(value, min(low, value) if value else low, max(high, value) if value else high, PROBLEMS)
