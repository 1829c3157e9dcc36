"""All of published bAbI by task, beside what was published: an agent for all tasks, and an agent each."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from readme_tables.markdown import by_setting, table

JOINT: dict[str, tuple[float, ...]] = {
    "DNC": (9.0, 39.2, 39.6, 0.4, 1.5, 6.9, 9.8, 5.5, 7.7, 9.6, 3.3, 5.0, 3.1, 11.0, 27.2, 53.6, 32.4, 4.2, 64.6, 0.0),
    "EntNet": (0.0, 15.3, 29.3, 0.1, 0.4, 0.6, 1.8, 1.5, 0.0, 0.1, 0.2, 0.0, 0.0, 7.3, 3.6, 53.3, 8.8, 1.3, 70.4, 0.0),
    "ADNC": (0.1, 0.8, 6.5, 0.0, 1.0, 0.0, 1.0, 0.2, 0.0, 0.1, 0.0, 0.0, 0.0, 0.2, 0.1, 52.1, 18.5, 1.1, 43.3, 0.1),
    "BiADNC": (0.1, 0.8, 2.4, 0.0, 0.7, 0.0, 1.0, 0.5, 0.1, 0.0, 0.0, 0.0, 0.0, 0.8, 0.1, 52.6, 4.8, 0.4, 0.0, 0.1),
}
"""Test error (%) of tasks 1 to 20 of one network for all, trained on answers of en-10k, mean over seeds (Franke et al. 2018,
arXiv 1807.02658, and the tables of its repository, joergfranke/ADNC)."""
SINGLE: dict[str, tuple[float, ...]] = {
    "EntNet, best of 10": (0.0, 0.1, 4.1, 0.0, 0.3, 0.2, 0.0, 0.5, 0.1, 0.6, 0.3, 0.0, 1.3, 0.0, 0.0, 0.2, 0.5, 0.3, 2.3, 0.0),
}
"""The same of a network each (Henaff et al. 2017, arXiv 1612.03969)."""
ORDERED = "answers, 2 and 3 made to order"
FAILED = 5.0
"""Error (%) above which a task counts as failed, as in all the papers."""


def joint(runs: dict[str, Any]) -> str:
    """By task the error (%) of one agent for all, mean over seeds, beside networks without RL."""
    ours = {
        f"{name} ({len(seeds)})": [{int(task): 100 * (1 - share) for task, share in run["by_task"].items()} for run in seeds]
        for name, seeds in by_setting(runs).items()
    }
    return _errors(ours, JOINT)


def single(report: dict[str, Any], transfer: Sequence[dict[str, Any]]) -> str:
    """By task the error (%) of an agent each, mean over seeds, beside a network each.

    Args:
        report: of the suite `babi20`.
        transfer: runs trained on stories made to order; what they answer of the published held-out ones takes the place of
            tasks 2 and 3, which take longer than the suite's seconds, in a column of its own.
    """
    found: dict[str, dict[int, dict[int, float]]] = {}
    for run in report["runs"]:
        found.setdefault(run["row"], {}).setdefault(run["seed"], {})[int(run["setting"][2:])] = 100 * (1 - run["success"])
    ordered = {
        int(run["env"].split("-qa")[1].split("-")[0]): 100 * (1 - run["accuracy"])
        for run in transfer
        if run["played"].endswith("en-10k/validation") and "-qa" in run["env"]
    }
    if "answers" in found and {2, 3} <= set(ordered):
        found[ORDERED] = {seed: errors | {2: ordered[2], 3: ordered[3]} for seed, errors in found["answers"].items()}
    rows = sorted(found, key=lambda row: not row.startswith(("rewards", "answers")))
    ours = {f"{row} ({len(found[row])})": list(found[row].values()) for row in rows}
    return _errors(ours, SINGLE)


def _errors(ours: Mapping[str, Sequence[Mapping[int, float]]], theirs: Mapping[str, Sequence[float]]) -> str:
    """A row a task; then the mean over the tasks that all of ours have, and how many failed."""
    tasks = sorted(set.intersection(*(set(run) for runs in ours.values() for run in runs)))
    columns = {name: np.array([[run[task] for task in tasks] for run in runs]) for name, runs in ours.items()}
    columns |= {name: np.array([[errors[task - 1] for task in tasks]]) for name, errors in theirs.items()}
    rows: list[tuple[Any, ...]] = [
        (f"{task}*" if task == 3 else task, *(f"{found[:, i].mean():.1f}" for found in columns.values()))
        for i, task in enumerate(tasks)
    ]
    rows.append((f"mean of {len(tasks)}", *(_spread(found.mean(1)) for found in columns.values())))
    failed = {name: (found > FAILED + 1e-9).sum(1) for name, found in columns.items()}
    rows.append((f"above {FAILED:.0f}%", *(f"{count.mean():.1f}" if len(count) > 1 else count[0] for count in failed.values())))
    return table(("task", *columns), rows, left=("task",))


def _spread(means: np.ndarray) -> str:
    """The mean over seeds, and their deviation where there are several."""
    return f"{means.mean():.2f}" + (f" ± {means.std(ddof=1):.2f}" if len(means) > 1 else "")
