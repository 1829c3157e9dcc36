"""What a suite's results say: a line a row, pairs of rows compared, and both as tables on the terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from agents.benchmark.suite import Suite
from reasongym.metrics.aggregate import (
    Estimate,
    area_under_curve,
    bootstrap,
    iqm,
    mean,
    median_time,
    probability_of_improvement,
)

Results = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Line:
    """A row of the leaderboard, over its runs.

    Attributes:
        row: its name.
        runs, wanted, diverged: how many there are, are to be, and diverged (success 0).
        success: interquartile mean over seeds and settings, with the 95% interval over seeds (`with_interval`).
        mean: over settings, of the mean success. Rows are ordered by it: the interquartile mean of few settings leaves out
            one on which a row fails.
        by_setting: mean success by setting.
        rates: means of capture, retention, retrieval and use, where they are defined.
        area_seconds, area_frames: mean height of the learning curve over the budget, and over the suite's horizon of frames.
        steps: median frames to the threshold by setting, infinite where fewer than half of the runs tell.
        frames, seconds: means.
        supervision: in words, each that occurs.
        trials: configurations that were tried for it before.
        label_bits, judge_calls: means a run.
        seconds_per_point: CPU seconds for a percentage point of success; infinite where there is none.
    """

    row: str
    runs: int
    wanted: int
    diverged: int
    success: Estimate
    mean: float
    by_setting: dict[str, float]
    rates: dict[str, float]
    area_seconds: float
    area_frames: float
    steps: dict[str, float]
    frames: float
    seconds: float
    supervision: str
    trials: int
    label_bits: float
    judge_calls: float
    seconds_per_point: float


def leaderboard(suite: Suite, results: Results) -> list[Line]:
    """A line for every row with results, the best first; those that have not played all settings come after all others, since
    a mean over other problems says nothing about these."""
    wanted: dict[str, int] = {}
    for run in suite.runs():
        wanted[run.row] = wanted.get(run.row, 0) + 1
    there = {name: [result for result in results if result["row"] == name] for name in suite.rows}
    lines = [_line(suite, name, mine, wanted[name]) for name, mine in there.items() if mine]
    return sorted(lines, key=lambda line: (not _whole(suite, line), -line.mean))


def _line(suite: Suite, row: str, results: Results, wanted: int) -> Line:
    tasks = by_setting(results)
    successes = [[result["success"] for result in runs] for runs in tasks.values()]
    seconds = float(np.mean([result["cpu_seconds"] for result in results]))
    points = 100 * mean(successes)
    horizon = suite.evaluation.horizon
    return Line(
        row=row,
        runs=len(results),
        wanted=wanted,
        diverged=sum(result["status"] == "diverged" for result in results),
        success=with_interval(iqm, successes),
        mean=mean(successes),
        by_setting={name: float(np.mean([result["success"] for result in runs])) for name, runs in tasks.items()},
        rates=_means([result["rates"] for result in results]),
        area_seconds=mean([[area(run, "cpu_seconds", suite.seconds(name)) for run in runs] for name, runs in tasks.items()]),
        area_frames=mean([[area(result, "frames", horizon) for result in runs] for runs in tasks.values()]),
        steps={name: steps_to_threshold(runs) for name, runs in tasks.items()},
        frames=float(np.mean([result["frames"] for result in results])),
        seconds=seconds,
        supervision=" | ".join(dict.fromkeys(result["supervision"] for result in results)),
        trials=suite.rows[row].tuning_trials,
        label_bits=float(np.mean([result["ledger"].get("label_bits", 0.0) for result in results])),
        judge_calls=float(np.mean([result["ledger"].get("judge_calls", 0.0) for result in results])),
        seconds_per_point=seconds / points if points else math.inf,
    )


def with_interval(statistic: Callable[..., float], *tasks: Sequence[Sequence[float]]) -> Estimate:
    """A statistic of runs by setting with its 95% interval; NaN bounds where a setting has a single run, which says nothing
    about another seed."""
    if min(len(runs) for one in tasks for runs in one) > 1:
        return bootstrap(statistic, *tasks)
    return Estimate(statistic(*tasks), math.nan, math.nan)


def by_setting(results: Results) -> dict[str, list[Mapping[str, Any]]]:
    """Results by setting, each by seed."""
    out: dict[str, list[Mapping[str, Any]]] = {}
    for result in sorted(results, key=lambda result: (result["setting"], result["seed"])):
        out.setdefault(result["setting"], []).append(result)
    return out


def area(result: Mapping[str, Any], key: str, horizon: float) -> float:
    """Mean height of a run's curve by frames or CPU seconds; 0 of one that diverged."""
    curve = result["curve"]
    if result["status"] == "diverged" or not curve:
        return 0.0
    return area_under_curve([line[key] for line in curve], [line["success"] for line in curve], horizon)


def steps_to_threshold(results: Results) -> float:
    """Median frames to the threshold: runs that ended before are censored, those that diverged never get there."""
    reached = [result["steps_to_threshold"] for result in results]
    lasted = [math.inf if result["status"] == "diverged" else result["frames"] for result in results]
    times = [long if steps is None else steps for steps, long in zip(reached, lasted, strict=True)]
    return median_time(times, [steps is not None for steps in reached])


def improvement(results: Results, ours: str, theirs: str) -> Estimate | None:
    """Probability that a run of ours is better than one of theirs, on the settings that both have played; None without any."""
    tasks = [by_setting([result for result in results if result["row"] == name]) for name in (ours, theirs)]
    shared = [name for name in tasks[0] if name in tasks[1]]
    if not shared:
        return None
    runs = [[[result["success"] for result in one[name]] for name in shared] for one in tasks]
    return with_interval(probability_of_improvement, *runs)


def table(suite: Suite, lines: Sequence[Line]) -> Table:
    """The leaderboard."""
    seconds = [suite.seconds(name) for name in suite.settings]
    told = " to ".join(f"{bound:g}" for bound in sorted({min(seconds), max(seconds)}))
    title = f"{suite.name}: {told} CPU seconds a run; success: interquartile mean, 95% interval over seeds"
    out = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    out.add_column("row", overflow="fold")
    for name in (
        "success",
        "mean",
        *suite.settings,
        "area",
        "steps to threshold",
        "seconds",
        "s/point",
        "trials",
        "label bits",
        "judge",
        "runs",
    ):
        out.add_column(name, justify="right")
    out.add_column("supervision", overflow="fold", ratio=1)
    for i, line in enumerate(lines):
        out.add_row(
            Text(line.row)
            if _whole(suite, line)
            else Text(f"{line.row} ({len(line.by_setting)} of {len(suite.settings)} settings)"),
            _bounded(line.success, _percent),
            _percent(line.mean),
            *(_percent(line.by_setting.get(name)) for name in suite.settings),
            _percent(line.area_seconds),
            "/".join(_frames(line.steps.get(name)) for name in suite.settings),
            f"{line.seconds:.0f}",
            f"{line.seconds_per_point:.1f}" if math.isfinite(line.seconds_per_point) else "-",
            str(line.trials),
            short(line.label_bits),
            short(line.judge_calls),
            f"{line.runs}/{line.wanted}" + (f", {line.diverged} diverged" if line.diverged else ""),
            Text(line.supervision),
            end_section=_whole(suite, line) and not all(_whole(suite, other) for other in lines[i + 1 : i + 2]),
        )
    return out


def _whole(suite: Suite, line: Line) -> bool:
    """Whether a row has played every setting."""
    return len(line.by_setting) == len(suite.settings)


def rates_table(lines: Sequence[Line]) -> Table:
    """Memory rates, area under the curve by frames, frames."""
    out = Table(title="memory, in percent", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    out.add_column("row", overflow="fold")
    for name in ("capture", "retention", "retrieval", "use", "area by frames", "frames"):
        out.add_column(name, justify="right")
    for line in lines:
        shown = [_percent(line.rates.get(name)) for name in ("capture", "retention", "retrieval", "use")]
        out.add_row(Text(line.row), *shown, _percent(line.area_frames), short(line.frames))
    return out


def comparisons(suite: Suite, results: Results) -> Table | None:
    """Probability of improvement of the pairs that the suite names; None where there is none yet."""
    out = Table(title="probability of improvement", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("row", "over"):
        out.add_column(name, overflow="fold")
    out.add_column("probability (95%)", justify="right")
    for ours, theirs in suite.compare:
        if (found := improvement(results, ours, theirs)) is not None:
            out.add_row(Text(ours), Text(theirs), _bounded(found, "{:.2f}".format))
    return out if out.row_count else None


def short(value: float) -> str:
    """A count in at most four characters and a unit: 950, 1.2k, 34M."""
    for unit in ("", "k", "M", "G"):
        if value < 1000:
            return f"{value:.1f}{unit}" if unit and value < 10 else f"{value:.0f}{unit}"
        value /= 1000
    return f"{value:.0f}T"


def _means(dicts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for one in dicts for name in one)
    return {name: float(np.mean([one[name] for one in dicts if name in one])) for name in names}


def _bounded(found: Estimate, told: Callable[[float], str]) -> str:
    """A value and its interval; the value alone where there is none."""
    return told(found.value) if math.isnan(found.low) else f"{told(found.value)} ({told(found.low)}-{told(found.high)})"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _frames(value: float | None) -> str:
    """Median frames to the threshold; ">" where the runs do not tell, "-" where there are none."""
    return "-" if value is None else short(value) if math.isfinite(value) else ">"
