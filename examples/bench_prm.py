"""How many steps a second the learned PRM scores inside environments: `python examples/bench_prm.py [--prm FOLDER] [--json
OUT]`.

Each of 256 environments plays problems of its own with random actions, on one thread. *fresh*: every step is one whose text
so far was never scored before, so the network embeds it, and attends to what is kept of the earlier ones. *cached*: the same
episodes again, whose prefixes are known. Only the PRM's own CPU time counts (wording the step, looking it up, the network), not
the engine's. Without --prm: the default shape, untrained (speed does not depend on what was learned).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

import gymnasium as gym
import numpy as np
import torch

import reasongym  # noqa: F401
from agents.provenance import result_file
from reasongym.audit.policies import Situation, any_kind, noise
from reasongym.prm.learned import LearnedPRM, StepNetwork, vocabulary_of

ID = "ReasonGym-bAbI-qa2-v0"


class Timed:
    """A PRM that sums up the CPU seconds of its `score`."""

    def __init__(self, prm: LearnedPRM) -> None:
        self.prm, self.seconds, self.steps = prm, 0.0, 0
        for name in ("criteria", "needs_annotation", "version", "default_beta", "carry_size", "cacheable"):
            setattr(self, name, getattr(prm, name))

    def score(self, steps: Any) -> np.ndarray:
        """The PRM's own."""
        start = time.process_time()
        scores = self.prm.score(steps)
        self.seconds += time.process_time() - start
        self.steps += len(steps)
        return scores


def play(prm: LearnedPRM, num_envs: int, max_steps: int, first: int) -> tuple[float, int, int]:
    """(seconds, steps, fresh steps) of one episode an environment, on problems from `first`."""
    timed, fresh = Timed(prm), prm.fresh
    env: Any = gym.make_vec(
        ID, num_envs=num_envs, vectorization_mode="vector_entry_point", prm=timed, utility="use", max_steps=max_steps,
        difficulty={"max_units": 30},
    )  # fmt: skip
    problems, step = np.arange(first, first + num_envs), np.zeros(num_envs, np.int64)
    observation, _ = env.reset(seed=0, options={"problem": problems})
    for _ in range(max_steps):
        situation = Situation(env, observation, problems, step, 0, 0)
        draws = noise(situation, 2)
        observation = env.step(any_kind(situation, draws[:, 0], draws[:, 1]))[0]
        step += 1
    env.close()
    return timed.seconds, timed.steps, prm.fresh - fresh


def measure(prm: LearnedPRM, num_envs: int, max_steps: int, rounds: int) -> dict[str, Any]:
    """Rates of fresh and of known steps, medians of some rounds; T is bounded by `max_steps`."""
    play(prm, num_envs, max_steps, 10 * num_envs)  # compiles, and fills the tables of words
    rows: dict[str, list[tuple[float, float]]] = {"fresh": [], "cached": []}
    for r in range(rounds):
        prm.changed()
        for name in rows:
            seconds, steps, fresh = play(prm, num_envs, max_steps, r * num_envs)
            rows[name].append((steps / seconds, 1 - fresh / steps))
    return {
        name: {
            "steps_per_second": float(np.median([row[0] for row in found])),
            "hit_rate": float(np.mean([row[1] for row in found])),
        }
        for name, found in rows.items()
    }


def untrained() -> LearnedPRM:
    """The default shape with random weights."""
    words = vocabulary_of(["Mary John Daniel Sandra went to the kitchen garden office note recall pass over answer chain"], 1)
    return LearnedPRM(StepNetwork(words, 4), ("logic", "coherence", "goal", "correct"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prm", type=Path, help="folder of a saved PRM")
    parser.add_argument("--num-envs", type=int, default=256)
    parser.add_argument("--max-steps", type=int, default=40, help="T: most steps of an episode")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=result_file, help="write the result here")
    parser.add_argument("--smoke", action="store_true", help="few environments and steps")
    options = parser.parse_args()
    torch.set_num_threads(1)
    prm = LearnedPRM.from_pretrained(options.prm) if options.prm else untrained()
    num_envs, max_steps, rounds = (8, 8, 1) if options.smoke else (options.num_envs, options.max_steps, options.rounds)
    result = {
        "prm": repr(prm), "num_envs": num_envs, "max_steps": max_steps, "machine": f"{platform.machine()}, 1 thread",
        **measure(prm, num_envs, max_steps, rounds),
    }  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
