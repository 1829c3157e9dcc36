"""Writes what README and docs show of results: the tables from `examples/results/*.json`, and the picture of an episode.

    python -m reasongym audit --accuracy 10000 --json examples/results/audit.json    # measures
    python examples/update_readme.py                                                 # writes

A table stands between `<!-- NAME -->` and `<!-- /NAME -->`; what is between them is replaced. `--smoke` writes nothing and
fails where a file is not what would be written.
"""

import argparse
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from readme_tables import TABLES

import reasongym  # noqa: F401 (registers the ids)

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "examples" / "results"
IMAGES = ROOT / "docs" / "images"
TEXT_SETS = {"squad2": ("SQuAD2", 5), "narrativeqa": ("NarrativeQA", 2), "fairytaleqa": ("FairytaleQA", 4)}
"""Sets of natural text: their names in ids, and the validation problem that is shown."""


def contents(path: Path) -> Any:
    """A result file, or a folder of them by name; None where there is none."""
    if path.is_dir():
        return {file.stem: json.loads(file.read_text()) for file in sorted(path.glob("*.json"))} or None
    return json.loads(path.read_text()) if path.exists() else None


def filled(text: str) -> str:
    """The text with every table whose results are there, and the episodes in words."""
    for name in TEXT_SETS:
        start, end = f"<!-- episode {name} -->", f"<!-- /episode {name} -->"
        if start in text:
            shown = f"{start}\n```text\n{episode_in_words(name)}\n```\n{end}".replace("\\", r"\\")
            text = re.sub(f"(?s){start}.*?{end}", shown, text)
    for name, _, table in tables():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        text = re.sub(f"(?s){start}.*?{end}", f"{start}\n{table}\n{end}".replace("\\", r"\\"), text)
    return text


@cache
def tables() -> list[tuple[str, list[str], str]]:
    """The name, the result files and the Markdown of every table whose results are there."""
    made = []
    for name, (*files, make) in TABLES.items():
        found = [contents(RESULTS / file) for file in files]
        if all(each is not None for each in found):
            made.append((name, files, make(*found)))
    return made


def easy(name: str, text: bool, **keywords: Any) -> gym.Env:
    """An environment on short problems of a set of natural text."""
    size = [6, 7] if name == "squad2" else [20, 22]
    prefix = "ReasonGymText" if text else "ReasonGym"
    return gym.make(
        f"{prefix}-{TEXT_SETS[name][0]}-v0", split="validation", difficulty={"units": size}, memory_slots=3, units_per_slot=1,
        **keywords,
    )  # fmt: skip


def episode_in_words(name: str) -> str:
    """What the expert says in an episode of a set, and the situations around its last words."""
    env, lines = easy(name, text=True, instructions="none"), []
    observation, _ = env.reset(seed=0, options={"problem": TEXT_SETS[name][1]})
    ended = False
    while not ended:
        command = env.unwrapped.expert_action()  # type: ignore[attr-defined]
        if not lines or command.startswith(("start", "answer")):
            lines += [observation]
        observation, reward, ended, _, info = env.step(command)
        terms = ", ".join(f"{key} {term:+.2f}" for key, term in info["reward_terms"].items() if term)
        lines.append(f"> {command}" + (f"    = {float(reward):+.2f} ({terms})" if terms else ""))
    ending = f"answer {info['answer']!r}, gold {info['gold']!r}, return {info['episode_return']:.2f}"
    return "\n".join([*lines, "", ending])


def text_picture(name: str) -> np.ndarray:
    """The end of an episode on natural text."""
    env = easy(name, text=False, observer="lexical", render_mode="rgb_array")
    env.reset(seed=0, options={"problem": TEXT_SETS[name][1]})
    ended = False
    while not ended:
        _, _, ended, _, _ = env.step(env.unwrapped.expert_action())  # type: ignore[attr-defined]
    return env.render()  # type: ignore[return-value]


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
    images = {"episode": picture(), **{name: text_picture(name) for name in TEXT_SETS}}
    if not smoke:
        from PIL import Image

        IMAGES.mkdir(parents=True, exist_ok=True)
        for name, image in images.items():
            Image.fromarray(image).save(IMAGES / f"{name}.png", optimize=True)
            print(f"wrote {(IMAGES / name).relative_to(ROOT)}.png")


if __name__ == "__main__":
    main()
