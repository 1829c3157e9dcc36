"""Memory cores and networks trained on answers alone: speed, the copy task, single tasks of bAbI."""

from typing import Any

import numpy as np

from readme_tables.markdown import percent, table


def speed(report: dict[str, Any]) -> str:
    """Frames per CPU second of each core: training, acting, and inside a PPO."""
    columns = ("training", "acting", "PPO", "parameters", "seconds to compile")
    rows = [
        (name, *(f"{row[column]:,.0f}" if column in row else "" for column in columns)) for name, row in report["table"].items()
    ]
    return table(("core", *columns), rows, left=("core",))


def copying(report: dict[str, Any]) -> str:
    """Share of bits right by core and length of the sequence, and of all bits of all lengths."""
    lengths = range(1, report["longest"] + 1)
    rows = []
    for name, found in report["results"].items():
        right = [found["bits right by length"][str(length)] for length in lengths]
        rows.append((name, *map(percent, right), percent(np.average(right, weights=lengths)), f"{found['CPU seconds']:.0f}"))
    return table(("core", *lengths, "all bits", "CPU seconds"), rows, left=("core",))


def answers_alone(report: dict[str, Any]) -> str:
    """Held-out success (%) of networks without reinforcement learning, by task."""
    found: dict[str, dict[str, float]] = {}
    for run in report["runs"]:
        found.setdefault(run["row"], {})[run["setting"]] = run["success"]
    settings = sorted({setting for row in found.values() for setting in row}, key=lambda name: int(name[2:]))
    rows = [(row, *(percent(by[name]) if name in by else "" for name in settings)) for row, by in found.items()]
    return table(("network", *(f"task {name[2:]}" for name in settings)), rows, left=("network",))
