"""Writes what README and docs show of results: the tables from `examples/results/*.json`, and the picture of an episode.

    python -m reasongym audit --accuracy 10000 --json examples/results/audit.json    # measures
    python examples/update_readme.py                                                 # writes

A table stands between `<!-- NAME -->` and `<!-- /NAME -->`; what is between them is replaced. `--smoke` writes nothing and
fails where a file is not what would be written.
"""

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

import reasongym  # noqa: F401 (registers the ids)
from reasongym.audit.accuracy import BASELINES
from reasongym.audit.bounds import EXEMPT
from reasongym.audit.policies import POLICIES

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "examples" / "results"
PICTURE = ROOT / "docs" / "images" / "episode.png"


def ids_table(report: dict[str, Any]) -> str:
    """Every id with its texts, and what each baseline reaches."""
    lines = ["| id | units | support | majority answer | " + " | ".join(BASELINES) + " |"]
    lines.append("| --- | ---: | ---: | --- |" + " ---: |" * len(BASELINES))
    for env_id, task in report["ids"].items():
        found = " | ".join(f"{100 * task['accuracy'][name]['share']:.1f}" for name in BASELINES)
        lines.append(f"| `{env_id}` | {task['units']:.1f} | {task['support']:.1f} | {task['majority']} | {found} |")
    return "\n".join(lines)


def short(env_id: str) -> str:
    """An id for a narrow column."""
    return env_id.removeprefix("ReasonGym-").removesuffix("-v0")


def audit_table(report: dict[str, Any], utility: str) -> str:
    """By task the mean return of every audited policy, and the process share in brackets."""
    lines = ["| id | " + " | ".join(POLICIES) + " |", "| --- |" + " ---: |" * len(POLICIES)]
    for env_id, task in report["ids"].items():
        rows = task["utilities"][utility]
        cells = " | ".join(f"{rows[name]['return']:.2f} ({rows[name]['process']:.2f})" for name in POLICIES)
        lines.append(f"| {short(env_id)} | {cells} |")
    return "\n".join(lines)


def bounds_table(report: dict[str, Any]) -> str:
    """By task both promises: the largest process share, and the least that a wrong answer returns more than stalling."""
    head = "| id | units / support | largest share of the expert's return | by | wrong answer over stalling, at least |"
    lines = [head, "| --- | ---: | ---: | --- | ---: |"]
    for env_id, task in report["ids"].items():
        rows = task["utilities"]["coverage"]
        most = max((name for name in POLICIES if name not in EXEMPT), key=lambda name: rows[name]["process"])
        share = rows[most]["process"] / rows["expert"]["return"]
        name, ratio = short(env_id), task["units"] / task["support"]
        note, margin = "" if task["long_text"] else " (short texts)", min(task["answering_over_stalling"].values())
        lines.append(f"| {name} | {ratio:.1f}{note} | {share:.0%} | {most} | {margin:.2f} |")
    return "\n".join(lines)


TABLES: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "ids": ("audit.json", ids_table),
    "coverage": ("audit.json", lambda report: audit_table(report, "coverage")),
    "level": ("audit.json", lambda report: audit_table(report, "level")),
    "bounds": ("audit.json", bounds_table),
}
"""By name: the result file that it is made from, and its maker."""


def filled(text: str) -> str:
    """The text with every table whose results are there."""
    for name, (file, make) in TABLES.items():
        if (RESULTS / file).exists():
            start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
            table = make(json.loads((RESULTS / file).read_text()))
            text = re.sub(f"(?s){start}.*?{end}", f"{start}\n{table}\n{end}".replace("\\", r"\\"), text)
    return text


def picture() -> np.ndarray:
    """The end of an episode: a two-hop question, five slots, an observer that scores each step, a gate that reads salience."""
    env = gym.make(
        "ReasonGym-bAbI-qa2-v0", split="validation", difficulty={"max_units": 12}, memory_slots=5, units_per_slot=1,
        observer="lexical", gate="salience", render_mode="rgb_array",
    )  # fmt: skip
    _, info = env.reset(seed=0, options={"problem": 6})
    ended, inner = False, env.unwrapped
    while not ended:
        action = inner.expert_action()  # type: ignore[attr-defined]
        empty = int(info["action_mask"][1:6].sum()) - 1
        _, _, ended, _, info = env.step(1 + empty if action == 0 and empty < 3 else action)
    return env.render()  # type: ignore[return-value]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="check, and write nothing")
    smoke = parser.parse_args().smoke
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        text, new = path.read_text(), filled(path.read_text())
        if smoke and text != new:
            raise SystemExit(f"{path.relative_to(ROOT)} is not up to date: run python examples/update_readme.py")
        if text != new:
            path.write_text(new)
            print(f"wrote {path.relative_to(ROOT)}")
    image = picture()
    if not smoke:
        from PIL import Image

        PICTURE.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(PICTURE, optimize=True)
        print(f"wrote {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
