"""The report of the bench on a terminal: what was read, in words, and tables with a row a PRM. Needs the extra `play`.

Shares are in percent. A table never cuts a number; a PRM's name that would not fit stands in the tables by a short one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import PurePath
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

LONGEST = 24
"""Characters of a PRM's name in a table: what 80 columns leave beside the numbers."""


def shortened(report: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The report with short names of its PRMs, and a line for each name that was not short."""
    names = list(report["prms"])
    short = dict(zip(names, short_names(names), strict=True))
    pairs = zip(combinations(names, 2), report["agreement"].values(), strict=True)
    out = {**report, "prms": {short[name]: row for name, row in report["prms"].items()}}
    out["agreement"] = {f"{short[a]} / {short[b]}": row for (a, b), row in pairs}
    return out, [f"{short[name]}: {name}" for name in names if short[name] != name]


def short_names(names: Sequence[str]) -> list[str]:
    """Each name in at most `LONGEST` characters, no two alike: of a path its end, of what is still too long both ends."""
    out = []
    for name in names:
        end = name if len(name) <= LONGEST else _end(name)
        out.append(end if len(end) <= LONGEST else f"{end[: LONGEST - 14]}…{end[-13:]}")
    number: Counter[str] = Counter()
    for i, name in enumerate(out):
        while out.count(out[i]) > 1 or out[i] in out[:i]:
            number[name] += 1
            out[i] = f"{name[: LONGEST - 3]} {number[name]}"
    return out


def _end(name: str) -> str:
    """The last part of a path; "file.py:Object" of "some/where/file.py:Object"."""
    found = re.fullmatch(r"(.*\.py)(:\w+)", name)
    path, rest = found.groups() if found else (name, "")
    return (PurePath(path).name or path) + rest


def windows(report: dict[str, Any]) -> list[str]:
    """A line for each PRM that has read prompts or steps in part, and for each that was tested by another criterion than was
    asked for, having no other."""
    criterion = report["settings"]["criterion"]
    other = [
        f"{name}: has no criterion {criterion!r}, and is tested on its labels by its only one, {row['tested_by']!r}"
        for name, row in report["prms"].items()
        if row.get("tested_by")
    ]
    return other + [
        f"{name}: {row['windowed']:,} times a prompt or step was longer than its window, and read in part"
        for name, row in report["prms"].items()
        if row.get("windowed")
    ]


def about(data: dict[str, Any]) -> list[str]:
    """What was read, in words, and what was not."""
    lines = [
        f"{data['file']} ({data.get('layout', 'records')}): {data['pooled']} solutions pooled, {data['steps']:,} steps, "
        f"{data['labelled']:,} labelled, {data['wrong']:,} of them wrong"
    ]
    if data["apart"]:
        lines.append("apart, not pooled: " + ", ".join(f"{count} {name}" for name, count in data["apart"].items()))
    if data.get("partly_labelled"):
        lines.append(
            f"{data['partly_labelled']} solutions are labelled in part: whether they are right, or where their first error is, "
            "is not known, and the first error F1 leaves them out"
        )
    if data["past_the_end"]:
        lines.append(
            f"{data['past_the_end']} rows name errors past the end of the solution: the pooled score passes over these, "
            "as the published scorer does; 'whole rows' is the score without such rows"
        )
    lines += [f"left out: {count} rows, {reason}" for reason, count in data.get("left_out", {}).items()]
    if data.get("skipped"):
        lines.append(f"skipped: {data['skipped']} broken rows, the first: {data['faults'][0]}")
    if not data["wrong"]:
        lines.append(
            "no step is labelled wrong: if unscored steps were cast to bool, they are all True by now; look at the source"
        )
    return lines


def tables(report: dict[str, Any]) -> list[Table]:
    """Two tables with a row a PRM: its verdicts on steps, then on solutions, with its latency. Shares in percent."""
    rows = report["prms"]
    steps = {
        "PRMScore": [_percent(row["prm_score"]) for row in rows.values()],
        "F1": [_percent(row["f1"]) for row in rows.values()],
        "neg. F1": [_percent(row["negative_f1"]) for row in rows.values()],
        "whole rows": [_percent(row.get("without_past_the_end", row)["prm_score"]) for row in rows.values()],
        "AUC": [_plain(row["auc"]) for row in rows.values()],
        "ECE": [_plain(row["calibration_error"]) for row in rows.values()],
        "scored": [_percent(row["scored"]) for row in rows.values()],
    }
    if not report["data"]["past_the_end"]:
        del steps["whole rows"]
    solutions = {
        "first error F1": [_percent(row["earliest_error"]["f1"]) for row in rows.values()],
        "on wrong": [_percent(row["earliest_error"]["on_wrong"]) for row in rows.values()],
        "on right": [_percent(row["earliest_error"]["on_right"]) for row in rows.values()],
    }
    if any(row["best_of_n"] for row in rows.values()):
        solutions["best of N"] = [_best(row["best_of_n"]) for row in rows.values()]
    solutions["p50 ms"] = [f"{row['latency']['p50_ms']:.3f}" for row in rows.values()]
    solutions["p95 ms"] = [f"{row['latency']['p95_ms']:.3f}" for row in rows.values()]
    return [_table("steps", list(rows), steps), _table("solutions, and milliseconds a step", list(rows), solutions)]


def _table(title: str, names: list[str], columns: dict[str, list[str]]) -> Table:
    out = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    out.add_column("PRM", overflow="fold")
    for column in columns:
        out.add_column(column, justify="right", no_wrap=True)
    for i, name in enumerate(names):
        out.add_row(Text(name), *(cells[i] for cells in columns.values()))
    return out


def certainty(report: dict[str, Any]) -> Table:
    """95% intervals over problems."""
    columns = {"PRMScore": "prm_score", "first error F1": "earliest_error_f1"}
    spans = {head: [_span(row["intervals"][key]) for row in report["prms"].values()] for head, key in columns.items()}
    return _table("95% intervals, over problems", list(report["prms"]), spans)


def groups(report: dict[str, Any]) -> Table | None:
    """PRMScore by group, a column a PRM; where there are right solutions, the earliest-error F1. None without groups."""
    rows = report["prms"]
    parts = next(iter(rows.values()))["groups"]
    if len(parts["parts"]) < 2:
        return None
    first = any(part["earliest_error"]["f1"] is not None for part in parts["parts"].values())
    what = "first error F1" if first else "PRMScore"
    out = Table(title=f"{what} by {parts['by']}", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    out.add_column(parts["by"], no_wrap=True)
    for name in rows:
        out.add_column(Text(name), justify="right", overflow="fold", min_width=5)
    for value in parts["parts"]:
        each = [row["groups"]["parts"][value] for row in rows.values()]
        out.add_row(Text(value), *(_percent(part["earliest_error"]["f1"] if first else part["prm_score"]) for part in each))
    if first:
        out.add_section()
        out.add_row("mean", *(_percent(row["groups"]["mean_earliest_error_f1"]) for row in rows.values()))
    return out


def agreement(report: dict[str, Any]) -> Table | None:
    """Cohen's kappa of verdicts and Spearman's correlation of scores, of PRMs that do not always say the same. None without."""
    if not report["agreement"]:
        return None
    out = Table(title="agreement", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    out.add_column("PRMs", no_wrap=True)
    for column in ("kappa", "Spearman"):
        out.add_column(column, justify="right")
    for pair, row in report["agreement"].items():
        if row["spearman"] is not None:
            out.add_row(Text(pair), _plain(row["kappa"]), _plain(row["spearman"]))
    return out if out.row_count else None


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{round(value, 3) + 0.0:.3f}"


def _span(interval: list[float | None]) -> str:
    return "-" if None in interval else " to ".join(map(_percent, interval))


def _best(row: dict[str, Any] | None) -> str:
    return "-" if row is None else f"{_percent(row[row['fitting']]['accuracy'])} ({row['fitting']})"
