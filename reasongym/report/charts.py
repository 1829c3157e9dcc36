"""The page's pictures: learning curves, performance profiles, reward terms, improvement and ablations.

Rows keep their colour in all of them: their place in the leaderboard.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from reasongym.report import estimates, figures
from reasongym.report.reading import Run

GRID = 60
"""Points of a mean curve."""
LEVELS = np.linspace(0, 0.995, 200)
Rows = Mapping[str, Sequence[Run]]


def curves(rows: Rows, setting: str, key: str) -> str:
    """Held-out success over training in one setting, by frames and by CPU seconds: mean over seeds, and their range, with rows
    that learn nothing as dotted levels; "" where no run of it has a curve."""
    with figures.style():
        figure, panels = figures.new_figure(9.4, 3.1, 2, sharey=True)
        series: list[dict[str, Any]] = []
        for index, (axis, unit) in enumerate((("frames", "frames"), ("cpu_seconds", "CPU seconds"))):
            axes = panels[index]
            figures.share_axis(axes)
            axes.set_xlabel(unit)
            axes.xaxis.set_major_formatter(figures.short)
            for place, runs in enumerate(rows.values()):
                here = [run for run in runs if run.setting == setting]
                drawn = _curve(axes, place, here, axis)
                series += [{"axes": index, "place": place, "x": drawn[0], "y": drawn[1]}] if drawn else []
            axes.set_xlim(left=0)
        if not series:
            return ""
        panels[0].set_ylabel("held-out success")
        return figures.svg(figure, f"Learning curves, {setting}: held-out success by frames and by CPU seconds", key, series)


def _curve(axes: Any, place: int, runs: Sequence[Run], axis: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Draws one row of a setting; returns its mean curve, None where it has none."""
    shade = figures.colour(place)
    if runs and not any(run.frames for run in runs):
        level = float(np.mean([run.success for run in runs]))
        axes.axhline(level, color=shade, linestyle=(0, (1, 2.5)), linewidth=1.4, gid=f"series-{place}")
        return None
    found = mean_curve(runs, axis)
    if found is None:
        return None
    x, y, low, high = found
    axes.fill_between(x, low, high, color=shade, alpha=0.14, linewidth=0, gid=f"series-{place}-band")
    axes.plot(x, y, color=shade, linestyle=figures.dash(place), gid=f"series-{place}")
    return x, y


def mean_curve(runs: Sequence[Run], axis: str, value: str = "success") -> tuple[np.ndarray, ...] | None:
    """(x, mean, lowest, highest) over the runs' curves on a common grid, as far as the shortest goes; None where there is none.

    A run that diverged counts as 0 from its end on.

    Args:
        runs: of one row and setting.
        axis: "frames" or "cpu_seconds".
        value: what of the evaluations.
    """
    lines, ends = [], []
    for run in runs:
        points: list[tuple[Any, Any]] = [(point.get(axis), point.get(value)) for point in run.curve]
        kept = sorted((float(x), float(y)) for x, y in points if _is_number(x) and _is_number(y))
        if len(kept) > 1:
            lines.append((np.array(kept).T, 0.0 if run.status == "diverged" else kept[-1][1]))
            ends.append((run.status == "diverged", kept[-1][0]))
    if not lines:
        return None
    begin, end = max(line[0][0] for line, _ in lines), min(ends)[1]
    if end <= begin:
        return None
    grid = lines[0][0][0] if len(lines) == 1 else np.linspace(begin, end, GRID)
    values = np.array([np.interp(grid, line[0], line[1], right=after) for line, after in lines])
    return grid, values.mean(0), values.min(0), values.max(0)


def profiles(rows: Rows, key: str) -> str:
    """Of each row, the share of runs above each level of success."""
    with figures.style():
        figure, (axes,) = figures.new_figure(4.6, 3.1)
        series = []
        for place, (_, runs) in enumerate(rows.items()):
            share = estimates.profile(runs, LEVELS)
            axes.step(
                LEVELS, share, where="post", color=figures.colour(place), linestyle=figures.dash(place), gid=f"series-{place}"
            )
            series.append({"axes": 0, "place": place, "x": LEVELS[::5], "y": share[::5]})
        figures.share_axis(axes)
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100%"])
        axes.set_xlabel("success τ")
        axes.set_ylabel("share of runs above τ")
        return figures.svg(figure, "Performance profiles: share of runs above each level of success", key, series)


def improvements(board: Sequence[Mapping[str, Any]], reference: str, key: str) -> str:
    """Probability that a run of the reference is above one of each other row; "" where nothing is compared."""
    rows = [row for row in board if row["improvement"] is not None]
    if not rows:
        return ""
    points = [(row["row"], row["improvement"], row["colour"]) for row in rows]
    return _forest(points, 0.5, (-0.02, 1.02), f"P({reference} > row)", f"Probability that {reference} is above each row", key)


def ablations(found: Sequence[Mapping[str, Any]], colours: Mapping[str, int], reference: str, key: str) -> str:
    """Success of each ablation minus the reference's, with its interval; "" where there is none."""
    if not found:
        return ""
    points = [(item["change"], item["effect"], colours[item["row"]]) for item in found]
    most = max(0.05, *(abs(bound) for _, effect, _ in points for bound in (effect.low, effect.high)))
    label = f"success minus that of {reference}"
    return _forest(points, 0.0, (-1.08 * most, 1.08 * most), label, f"Ablations: {label}", key)


def _forest(
    points: Sequence[tuple[str, estimates.Interval, int]],
    zero: float,
    limits: tuple[float, float],
    unit: str,
    label: str,
    key: str,
) -> str:
    """A value with its interval a line, from the top, beside a line at `zero`; hollow where there can be no interval."""
    with figures.style():
        figure, (axes,) = figures.new_figure(4.6, max(1.5, 0.75 + 0.34 * len(points)))
        axes.axvline(zero, color=figures.ROLES["soft"], linewidth=1)
        for y, (_, interval, place) in enumerate(points):
            shade = figures.colour(place)
            known = interval.low < interval.high or interval.over == estimates.SEEDS
            if known:
                axes.plot([interval.low, interval.high], [y, y], color=shade, linewidth=3, alpha=0.45, gid=f"series-{place}-i")
            inside = shade if known else figures.ROLES["paper"]
            look: dict[str, Any] = {"color": shade, "markerfacecolor": inside, "markersize": 7, "clip_on": False}
            axes.plot([interval.value], [y], "o", **look, gid=f"series-{place}-v")
        axes.set_yticks(range(len(points)), [_cut(name) for name, _, _ in points])
        axes.tick_params(axis="y", labelcolor=figures.ROLES["ink"])
        axes.set_ylim(len(points) - 0.5, -0.5)
        axes.set_xlim(*limits)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(_cut(unit, 48))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:+.0%}" if zero == 0 else f"{value:.0%}")
        return figures.svg(figure, label, key)


def terms(rows: Rows, setting: str, key: str) -> tuple[str, list[str]]:
    """Reward terms over training in one setting, a panel a row, and the terms in the order of their colours; ("", []) where
    no run tells them."""
    told = {row: [run for run in runs if run.setting == setting and _term_names(run)] for row, runs in rows.items()}
    names = list(dict.fromkeys(name for runs in told.values() for run in runs for name in _term_names(run)))
    lines = {row: [_term_curve(runs, name) for name in names] for row, runs in told.items()}
    lines = {row: found for row, found in lines.items() if any(line is not None for line in found)}
    if not lines:
        return "", []
    columns = min(3, len(lines))
    deep = math.ceil(len(lines) / columns)
    with figures.style():
        figure, panels = figures.new_figure(9.4, 0.4 + 2.2 * deep, columns, deep, sharey=True)
        series = []
        for index, (axes, row) in enumerate(zip(panels, lines, strict=False)):
            axes.axhline(0, color=figures.ROLES["soft"], linewidth=0.8)
            axes.set_title(_cut(row, 34))
            axes.xaxis.set_major_formatter(figures.short)
            for place, line in enumerate(lines[row]):
                if line is not None:
                    axes.plot(*line[:2], color=figures.colour(place), linestyle=figures.dash(place), gid=f"series-{place}")
                    series.append({"axes": index, "place": place, "x": line[0], "y": line[1]})
            axes.set_xlabel("frames")
        for axes in panels[len(lines) :]:
            axes.remove()
        panels[0].set_ylabel("mean an episode")
        return figures.svg(figure, f"Reward terms over training, {setting}", key, series), names


def _term_names(run: Run) -> list[str]:
    """The reward terms that the run's curve tells."""
    return list(dict.fromkeys(name for point in run.curve for name in point.get("terms") or {}))


def _term_curve(runs: Sequence[Run], name: str) -> tuple[np.ndarray, ...] | None:
    """As `mean_curve`, of one reward term."""

    def of(run: Run) -> Run:
        return replace(run, curve=tuple({**point, "term": (point.get("terms") or {}).get(name)} for point in run.curve))

    return mean_curve([of(run) for run in runs], "frames", "term")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _cut(text: str, most: int = 40) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
