"""Suites of the benchmark as they were played: leaderboard, supervision, pairs, and what differs from one row."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from agents.benchmark.leaderboard import Line, area, by_setting, improvement, leaderboard, short
from agents.benchmark.suite import Suite, suite_of
from readme_tables.markdown import percent, table
from reasongym.metrics.aggregate import Estimate

RATES = ("capture", "retention", "retrieval", "use")


def _suite(report: dict[str, Any]) -> Suite:
    """The suite as it stands in its result file."""
    return suite_of(report["suite"], report["settings"])


def board(report: dict[str, Any]) -> str:
    """A row of the leaderboard a line, success and memory in percent; rows that miss settings last."""
    suite = _suite(report)
    lines = leaderboard(suite, report["runs"])
    head = ("row", "success (95%)", "mean", *suite.settings, "frames to 90%", *RATES, "CPU s", "label bits", "runs")
    rows = [
        (
            f"**{line.row}**" if line.row == suite.source["compare"][0][0] else line.row,
            _estimate(line.success, 100, 1),
            percent(line.mean),
            *(percent(line.by_setting[name]) if name in line.by_setting else "" for name in suite.settings),
            _steps(suite, line),
            *(percent(line.rates[name]) if name in line.rates else "" for name in RATES),
            f"{line.seconds:.0f}" if line.frames else "",
            short(line.label_bits) if line.frames else "",
            f"{line.runs}/{line.wanted}" + f", {line.diverged} diverged" * bool(line.diverged),
        )
        for line in lines
    ]
    return f"{_played(suite, report)}\n\n{table(head, rows, left=('row',))}"


def supervision(report: dict[str, Any]) -> str:
    """What each trained row was told, in words."""
    suite = _suite(report)
    lines = [line for line in leaderboard(suite, report["runs"]) if line.frames]
    rows = [(line.row, suite.rows[line.row].about, line.supervision, line.trials) for line in lines]
    return table(("row", "what it is", "told", "tuning trials"), rows, left=("row", "what it is", "told"))


def pairs(report: dict[str, Any]) -> str:
    """Probability of improvement of the suite's pairs, over all settings that both play and in each."""
    suite = _suite(report)
    rows = []
    for ours, theirs in suite.compare:
        found = improvement(report["runs"], ours, theirs)
        if found is None:
            continue
        runs = {setting: [run for run in report["runs"] if run["setting"] == setting] for setting in suite.settings}
        each = [improvement(some, ours, theirs) for some in runs.values()]
        rows.append((ours, theirs, _estimate(found, 1, 2), *("" if one is None else f"{one.value:.2f}" for one in each)))
    return table(("row", "over", "probability (95%)", *suite.settings), rows, left=("row", "over"))


def differences(report: dict[str, Any]) -> str:
    """By setting success, area under the curve of frames and median frames to the threshold, each row beside the first."""
    suite = _suite(report)
    horizon = suite.evaluation.horizon
    names = [f"{setting}: {what}" for setting in suite.settings for what in ("success", "area", "frames to 90%")]
    rows = []
    for line in leaderboard(suite, report["runs"]):
        runs = by_setting([run for run in report["runs"] if run["row"] == line.row])
        cells: list[str] = []
        for setting in suite.settings:
            if setting not in runs:
                cells += ["", "", ""]
                continue
            success = [run["success"] for run in runs[setting]]
            areas = [area(run, "frames", horizon) for run in runs[setting]]
            cells += [_spread(success), _spread(areas), _frames(line.steps[setting])]
        rows.append((line.row, suite.rows[line.row].about, *cells, f"{line.runs}/{line.wanted}"))
    return f"{_played(suite, report)}\n\n{table(('row', 'what it is', *names, 'runs'), rows, left=('row', 'what it is'))}"


def _played(suite: Suite, report: dict[str, Any]) -> str:
    """How much of the suite there is."""
    wanted, there = len(list(suite.runs())), len(report["runs"])
    seeds = len({run["seed"] for run in report["runs"]})
    told = f"{wanted} runs" if there == wanted else f"{there} of {wanted} runs so far"
    return f"{told}, {seeds} seeds."


def _estimate(found: Estimate, scale: float, digits: int) -> str:
    """A value with its interval, if it has one."""
    value, low, high = (f"{scale * number:.{digits}f}" for number in found)
    return value if math.isnan(found.low) else f"{value} ({low} to {high})"


def _steps(suite: Suite, line: Line) -> str:
    """Median frames to the threshold by setting."""
    return " / ".join(_frames(line.steps.get(name)) for name in suite.settings) if line.frames else ""


def _frames(value: float | None) -> str:
    """ ">": fewer than half of the runs got there."""
    return "" if value is None else short(value) if math.isfinite(value) else ">"


def _spread(shares: Sequence[float]) -> str:
    """The mean in percent, and the deviation over seeds where there are several."""
    told = percent(float(np.mean(shares)))
    return told if len(shares) < 2 else f"{told} ± {percent(float(np.std(shares, ddof=1)))}"
