"""What agents learned: accuracy, frames, time, supervision."""

from typing import Any

import numpy as np

from readme_tables.markdown import STUDENT, between, by_setting, interval, percent, table
from reasongym.audit.accuracy import BASELINES
from reasongym.engine.infos import RATES


def _frames(runs: list[dict[str, Any]]) -> str:
    return f"{np.mean([run['timesteps'] for run in runs]) / 1e6:.2f} M"


def _seconds(runs: list[dict[str, Any]]) -> str:
    return f"{np.mean([run['cpu_seconds'] for run in runs]):.0f}"


def published(runs: dict[str, Any]) -> str:
    """By setting of the published runs: accuracy by seed, frames, CPU time, supervision, and the baselines beside it."""
    head = ("run", "accuracy (%)", "by seed", "95% interval", "frames", "CPU seconds", "supervision")
    beside = "random / majority / last-unit"
    rows = []
    for name, seeds in by_setting(runs).items():
        accuracies = [run["accuracy"] for run in seeds]
        mean, *ends = interval(accuracies, seeds[0]["problems"])
        each = ", ".join(map(percent, accuracies))
        others = " / ".join(f"{100 * np.mean([run['baselines'][b] for run in seeds]):.0f}" for b in BASELINES[:3])
        rows.append(
            (name, percent(mean), each, between(*ends), _frames(seeds), _seconds(seeds), seeds[0]["supervision"], others)
        )
    return table((*head, beside), rows, left=("run", "by seed", "95% interval", "supervision", beside))


def text(runs: dict[str, Any]) -> str:
    """What agents learn on natural text, by setting: means over the seeds, in percent."""
    names = ("right", "F1 / ROUGE-L", "by seed", "with answer", "without", "capture", "retention", "retrieval", "use")
    rows = []
    for name, seeds in by_setting(runs).items():
        found = [{"right": run["accuracy"], **run["rates"]} for run in seeds]
        scores = [row.get("f1", row.get("rouge_l")) for row in found]
        cells = [name, percent(np.mean([row["right"] for row in found])), percent(np.mean(scores))]
        cells.append(", ".join(map(percent, scores)))
        for key in ("right_where_answerable", "right_where_not", *RATES):
            shares = [row[key] for row in found if key in row]
            cells.append(percent(np.mean(shares)) if shares else "")
        rows.append((*cells, _frames(seeds), _seconds(seeds), seeds[0]["supervision"]))
    head = ("run", *names, "evidence recall", "frames", "CPU seconds", "supervision")
    return table(head, rows, left=("run", "supervision"))


def ppo(report: dict[str, Any]) -> str:
    """Frames per CPU second of MemoryPPO and RecurrentPPO."""
    rows = []
    for name, ratio in report["ratios"].items():
        ours, theirs = (report["frames per CPU second"][f"{name}: {who}"] for who in ("MemoryPPO", "RecurrentPPO"))
        rows.append((name, f"{ours:,.0f}", f"{theirs:,.0f}", f"{ratio:.1f}"))
    return table(("setting", "MemoryPPO", "RecurrentPPO", "ratio"), rows, left=("setting",))


def rewards(runs: dict[str, Any]) -> str:
    """What pays, what the agent reaches, and how much annotation told it."""
    rows = [
        (
            name, percent(run["accuracy"]), between(*run["interval"]), f"{run['timesteps']:,}", f"{run['cpu_seconds']:.0f}",
            f"{run['label_bits']:,.0f}",
        )
        for name, run in sorted(runs.items(), key=lambda item: -item[1]["accuracy"])
    ]  # fmt: skip
    head = ("rewards", "accuracy (%)", "95% interval", "frames", "CPU seconds", "label bits")
    return table(head, rows, left=("rewards",))


def rounds(result: dict[str, Any]) -> str:
    """Held-out success of self-reward over rounds, by task and variant."""
    most = max(len(found) for variants in result["tasks"].values() for found in variants.values())
    rows = []
    for task, variants in result["tasks"].items():
        for variant, found in variants.items():
            cells = [f"{percent(row['held_out'])} ({100 * row['low']:.0f} to {100 * row['high']:.0f})" for row in found]
            rows.append((task, variant, found[-1]["seeds"], *cells, *[""] * (most - len(found))))
    head = ("task", "variant", "seeds", "start", *(f"round {i}" for i in range(1, most)))
    return table(head, rows, left=("task", "variant"))


def gains(result: dict[str, Any]) -> str:
    """Self-reward by task and variant: points gained from start to last round, and more than `gold`, both paired by seed."""
    rows = []
    for task, variants in result["tasks"].items():
        for variant, found in variants.items():
            last = np.array(found[-1]["by_seed"])
            gained = last - found[0]["by_seed"]
            beside = "" if variant == "gold" else _points(last - variants["gold"][-1]["by_seed"])
            rows.append((task, variant, _points(gained), beside, f"{gained.min() * 100:+.1f} to {gained.max() * 100:+.1f}"))
    head = ("task", "variant", "gained since the start", "at the end, beside gold", "gained by seed")
    return table(head, rows, left=("task", "variant"))


def _points(differences: np.ndarray) -> str:
    """A mean of paired differences in points with its 95% interval by Student's t."""
    half = STUDENT[len(differences)] * differences.std(ddof=1) / len(differences) ** 0.5
    mean = differences.mean()
    return f"{100 * mean:+.1f} ({100 * (mean - half):+.1f} to {100 * (mean + half):+.1f})"
