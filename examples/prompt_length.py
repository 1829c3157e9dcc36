"""How long a language model's prompt is while it reads: `python examples/prompt_length.py [--help]`.

The expert plays stories of 10 to 2,000 sentences in words. What a player is shown, f(X, WM_t), is counted in tokens turn by
turn, beside what it would be shown if nothing were forgotten: the same with all sentences read so far. Draws
docs/images/llm_prompt.png.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

import gymnasium as gym
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import ScalarFormatter

import reasongym  # noqa: F401 (registers the ids)
from agents.llm.tiny import train_tokenizer
from agents.llm.transcripts import expert_turns

ENV = "ReasonGymText-bAbI-qa1-v0"
PLAY = {"memory_slots": 4, "units_per_slot": 1, "chain_length": 3, "instructions": "none"}


def lengths(units: int, tokenizer: object) -> tuple[list[int], list[int]]:
    """By turn the tokens of the prompt, and of the prompt with all sentences read before, of one story."""
    knobs = {"max_units": units, "rounds": (units // 2, units // 2)}
    count = lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"])  # type: ignore[operator]  # noqa: E731
    with gym.make(ENV, difficulty=knobs, **PLAY) as env:
        text, _ = env.reset(seed=0)
        bounded, whole, read, over = [], [], 0, False
        while not over:
            bounded.append(count(text))
            whole.append(bounded[-1] + read)
            line = next(line for line in text.splitlines() if line.startswith("Desk"))
            read += count(line) if "sentence" in line else 0
            text, _, terminated, truncated, _ = env.step(env.unwrapped.expert_action())
            over = terminated or truncated
    return bounded, whole


def draw(found: dict[int, tuple[list[int], list[int]]], path: Path) -> None:
    """The longest prompt by the story's length."""
    units = list(found)
    figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
    axes.plot(units, [max(whole) for _, whole in found.values()], "o--", color="tab:gray", label="with all that was read")
    axes.plot(
        units, [max(bounded) for bounded, _ in found.values()], "o-", color="tab:blue", label="f(X, WM): 4 slots, a chain of 3"
    )
    axes.set(xscale="log", yscale="log", xlabel="sentences of the story", ylabel="tokens of the longest prompt")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(ScalarFormatter())
    axes.set_xticks(units)
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "llm_prompt.png")
    parser.add_argument("--smoke", action="store_true", help="short stories, and no picture of the docs is touched")
    options = parser.parse_args()
    stories = (10, 20) if options.smoke else (10, 30, 100, 300, 1000, 2000)
    out = Path("llm_prompt_smoke.png") if options.smoke else options.out
    turns = expert_turns(ENV, range(100), **PLAY)
    tokenizer = train_tokenizer(
        [text for episode in turns for turn in episode for text in (turn.chat[-1]["content"], turn.reply)]
    )
    found = {units: lengths(units, tokenizer) for units in stories}
    draw(found, out)
    told = {units: {"bounded": max(bounded), "whole": max(whole)} for units, (bounded, whole) in found.items()}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
