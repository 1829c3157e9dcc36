"""The numbers of a suite's tables: leaderboard, costs, ablations, memory. Plain dictionaries for the page's template."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from reasongym.report import estimates
from reasongym.report.reading import Run

RATES = ("capture", "retention", "retrieval", "use")
DESCRIPTIVE = {"about", "name", "row", "rows", "seed", "seeds", "setting", "settings", "suite", "supervision", "tuning_trials"}
"""Keys of a run's config that change nothing about how it is played."""
LEAST_STEPS = 30
"""Recorded steps below which no correlation is shown."""


def by_row(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs of each row, the best row first, by its mean over settings (the interquartile mean of few settings leaves one
    out on which a row fails); those that miss settings come last, as their means are of other problems."""
    rows: dict[str, list[Run]] = {}
    for run in runs:
        rows.setdefault(run.row, []).append(run)
    settings = len({run.setting for run in runs})

    def place(item: tuple[str, list[Run]]) -> tuple[bool, float, str]:
        played = {run.setting for run in item[1]}
        return len(played) < settings, -estimates.mean(estimates.successes(item[1])), item[0]

    return dict(sorted(rows.items(), key=place))


def headline(rows: Mapping[str, list[Run]], wanted: str = "") -> str:
    """The row that others are compared with: the one asked for; else of those that were trained the one that most others are
    an ablation of, of several the one in most settings, and the best.

    Raises:
        ValueError: there is no such row.
    """
    if wanted:
        if wanted not in rows:
            raise ValueError(f"there is no row {wanted!r} to compare with; rows: {', '.join(rows)}")
        return wanted
    trained = [row for row, runs in rows.items() if any(run.frames for run in runs)] or list(rows)

    def weight(row: str) -> tuple[int, int, int]:
        ablated = sum(change(rows[row], rows[other]) != "" for other in trained)
        return ablated, len({run.setting for run in rows[row]}), -trained.index(row)

    return max(trained, key=weight)


def leaderboard(rows: Mapping[str, list[Run]], settings: Sequence[str], reference: str) -> list[dict[str, Any]]:
    """A dictionary a row: success over all settings and in each, what it was told, what it spent."""
    out = []
    for place, (row, runs) in enumerate(rows.items()):
        cells = {setting: [run for run in runs if run.setting == setting] for setting in settings}
        frames, reached = estimates.threshold(runs)
        trained = any(run.frames for run in runs)
        out.append(
            {
                "row": row,
                "colour": place,
                "score": estimates.score(runs),
                "cells": [estimates.cell(found) if found else None for found in cells.values()],
                "runs": len(runs),
                "diverged": sum(run.status == "diverged" for run in runs),
                "missing": [setting for setting, found in cells.items() if not found],
                "supervision": " · ".join(dict.fromkeys(run.supervision for run in runs if run.supervision)) or "not said",
                "frames": float(np.mean([run.frames for run in runs])),
                "seconds": float(np.mean([run.cpu_seconds for run in runs])),
                "to_threshold": frames if trained else None,
                "reached": reached,
                "improvement": None if row == reference else estimates.improvement(rows[reference], runs),
                "reference": row == reference,
                "ledger": ledger(runs),
                "seconds_a_point": seconds_a_point(runs),
            }
        )
    return out


def ledger(runs: Sequence[Run]) -> dict[str, float]:
    """Mean of every entry of the runs' ledgers, an absent one counting as 0."""
    names = dict.fromkeys(name for run in runs for name in run.ledger)
    return {name: float(np.mean([run.ledger.get(name, 0.0) for run in runs])) for name in names}


def seconds_a_point(runs: Sequence[Run]) -> float:
    """CPU seconds of training for a point (a hundredth) of success; NaN where nothing was trained, or nothing reached."""
    points, seconds = 100 * sum(run.success for run in runs), sum(run.cpu_seconds for run in runs)
    return seconds / points if points and any(run.frames for run in runs) else math.nan


def ablations(rows: Mapping[str, list[Run]], reference: str) -> list[dict[str, Any]]:
    """The trained rows that differ from the reference in one argument: what it is, and what it costs in success."""
    found = []
    for row, runs in rows.items():
        trained = any(run.frames for run in runs)
        what = change(rows[reference], runs) if row != reference and trained else ""
        effect = estimates.difference(runs, rows[reference]) if what else None
        if effect is not None:
            found.append({"row": row, "change": what, "effect": effect})
    return sorted(found, key=lambda item: item["effect"].value)


def change(ours: Sequence[Run], theirs: Sequence[Run]) -> str:
    """The one argument in which `theirs` differs from `ours`, in words; "" where they differ in none, several, or the agent.

    A run's `config["ablation"]`, where a suite says it, is taken at its word. Weights by criterion (`beta`) are one argument.
    """
    ours, theirs = estimates.shared(ours, theirs)
    if not ours:
        return ""
    said = theirs[0].config.get("ablation")
    if isinstance(said, str) and said:
        return said
    here = next(run for run in ours if run.setting == theirs[0].setting)
    a, b = dict(_flat(here.config)), dict(_flat(theirs[0].config))
    differing = [key for key in {**a, **b} if a.get(key) != b.get(key)]
    arguments = {key[0] for key in differing}
    if len(arguments) != 1 or "agent" in arguments:
        return ""
    return "; ".join(f"{'.'.join(key)}: {_said(a, key)} → {_said(b, key)}" for key in differing)


def _flat(config: Mapping[str, Any]) -> Iterable[tuple[tuple[str, ...], Any]]:
    """The arguments of a config: (argument, ...) and its value; sections (row, keywords, options) are looked into."""
    for key, value in config.items():
        if key in ("keywords", "options", "setting", "row") and isinstance(value, Mapping):
            yield from _flat(value)
        elif isinstance(value, Mapping):
            yield from (((key, *inner), v) for inner, v in _flat(value))
        elif key not in DESCRIPTIVE:
            yield (key,), value


def _said(values: Mapping[tuple[str, ...], Any], key: tuple[str, ...]) -> str:
    return "default" if key not in values else "none" if values[key] is None else str(values[key])


def memory_rates(rows: Mapping[str, list[Run]]) -> list[dict[str, Any]]:
    """Mean rates of each row over the runs that tell them; None where none does."""
    out = []
    for row, runs in rows.items():
        told = {rate: [run.rates[rate] for run in runs if rate in run.rates] for rate in RATES}
        out.append({"row": row, "rates": [float(np.mean(v)) if v else None for v in told.values()]})
    return out


def slot_use(rows: Mapping[str, list[Run]]) -> list[dict[str, Any]]:
    """From the recorded episodes, per row and slot: writes and recalls an episode, and the mean salience while occupied."""
    out = []
    for row, runs in rows.items():
        episodes = [episode for run in runs for episode in run.episodes]
        slots = max((int(e.get("memory_slots") or 0) for e in episodes), default=0)
        if not slots:
            continue
        writes, recalls, salience, held = (np.zeros(slots) for _ in range(4))
        steps = 0
        for step in (step for episode in episodes for step in episode["steps"]):
            steps += 1
            for k, slot in enumerate(step.get("slots", ())[:slots]):
                held[k] += 1
                salience[k] += slot.get("salience") or 0.0
            place = step.get("slot")
            if isinstance(place, int) and 1 <= place <= slots and not step.get("invalid"):
                (recalls if step.get("kind") == "recall" else writes)[place - 1] += 1
        n = len(episodes)
        out.append(
            {
                "row": row,
                "episodes": n,
                "writes": (writes / n).tolist(),
                "recalls": (recalls / n).tolist(),
                "occupied": (held / max(steps, 1)).tolist(),
                "salience": np.where(held > 0, salience / np.maximum(held, 1), np.nan).tolist(),
            }
        )
    return out


def correlations(runs: Sequence[Run]) -> dict[str, Any] | None:
    """Pearson correlation of the criteria's scores over all recorded steps; None where too few steps were recorded."""
    steps = [step.get("scores", {}) for run in runs for episode in run.episodes for step in episode["steps"]]
    names = list(dict.fromkeys(name for scores in steps for name in scores))
    if len(steps) < LEAST_STEPS or len(names) < 2:
        return None
    table = np.array([[np.nan if scores.get(n) is None else scores[n] for n in names] for scores in steps], float)
    places = range(len(names))
    values = [[_correlation(table[:, [i, j]]) for j in places] for i in places]
    return {"names": names, "steps": len(steps), "values": values}


def _correlation(pair: np.ndarray) -> float:
    """Of two columns (n, 2) where both are scored; NaN where one of them never changes."""
    both = pair[~np.isnan(pair).any(1)]
    if len(both) < LEAST_STEPS or (both.std(0) == 0).any():
        return math.nan
    return float(np.corrcoef(both.T)[0, 1])
