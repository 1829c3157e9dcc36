"""MemoryPPO beside sb3-contrib's RecurrentPPO, one core: `python examples/bench_ppo.py [--json FILE] [--smoke]`.

*Same*: the same environments, inputs, networks (an LSTM of 256 and two layers of 64 for actor and critic each) and
hyper-parameters. *Defaults*: each algorithm as it comes, on as many environments as its authors use. Frames per CPU second of
this process, rollouts and updates together; runs take turns, the median counts. The return is that of the last 100 episodes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import sb3_contrib
import torch
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.vec_env import VecEnv

from agents.ppo import MemoryPPO
from reasongym.adapters.sb3 import make_vec_env

ID = "ReasonGym-bAbI-qa1-v0"
SHARED = {
    "learning_rate": 1e-3,
    "n_steps": 64,
    "n_epochs": 4,
    "gamma": 0.95,
    "gae_lambda": 0.8,
    "ent_coef": 0.01,
    "clip_range": 0.2,
}
BATCH = 512


def environments(num_envs: int, seed: int) -> VecEnv:
    """The same environments for both."""
    return make_vec_env(ID, num_envs, seed=seed, difficulty={"max_units": 6}, memory_slots=6)


def ours(num_envs: int, seed: int) -> MemoryPPO:
    """MemoryPPO with RecurrentPPO's network: flat inputs, LSTM-256 and 64-64 for actor and critic each."""
    policy = {"encoder": "flat", "core": "lstm", "core_size": 256, "net_arch": (64, 64), "separate_critic": True}
    env = environments(num_envs, seed)
    return MemoryPPO("MemoryPolicy", env, seed=seed, device="cpu", batch_size=BATCH, policy_kwargs=policy, **SHARED)  # type: ignore[arg-type]


def theirs(num_envs: int, seed: int) -> RecurrentPPO:
    """RecurrentPPO with the same."""
    policy = {"lstm_hidden_size": 256, "net_arch": [64, 64], "enable_critic_lstm": True}
    env = environments(num_envs, seed)
    return RecurrentPPO("MultiInputLstmPolicy", env, seed=seed, device="cpu", batch_size=BATCH, policy_kwargs=policy, **SHARED)  # type: ignore[arg-type]


def our_defaults(num_envs: int, seed: int) -> MemoryPPO:
    """MemoryPPO as it comes, with an LSTM core."""
    return MemoryPPO("MemoryPolicy", environments(256, seed), seed=seed, device="cpu", policy_kwargs={"core": "lstm"})


def their_defaults(num_envs: int, seed: int) -> RecurrentPPO:
    """RecurrentPPO as it comes, on eight environments."""
    return RecurrentPPO("MultiInputLstmPolicy", environments(8, seed), seed=seed, device="cpu")


def measured(model: Any, frames: int) -> tuple[float, float]:
    """(frames per CPU second, mean return of the last 100 episodes) after `frames` frames."""
    start = time.process_time()
    model.learn(frames)
    seconds = time.process_time() - start
    returns = [episode["r"] for episode in list(model.ep_info_buffer)[-100:]]
    return model.num_timesteps / seconds, float(np.mean(returns))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=65_536, help="of the same-networks comparison")
    parser.add_argument("--smoke", action="store_true", help="small and quick, to see that it runs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    same, some = (1_024, 1_024) if options.smoke else (options.frames, 4_096)
    num_envs = 16 if options.smoke else 64
    cases = {
        "same networks: MemoryPPO": (ours, same),
        "same networks: RecurrentPPO": (theirs, same),
        "defaults: MemoryPPO": (our_defaults, 16_384 if options.smoke else 65_536),
        "defaults: RecurrentPPO": (their_defaults, some),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for seed in range(1 if options.smoke else options.rounds):
        for name, (make, frames) in cases.items():
            found[name].append(measured(make(num_envs, seed), frames))  # type: ignore[operator]
            print(f"{name:32s} {found[name][-1][0]:>10,.0f} frames/CPU s   return {found[name][-1][1]:.3f}", flush=True)
    rates = {name: statistics.median(rate for rate, _ in rows) for name, rows in found.items()}
    returns = {name: [value for _, value in rows] for name, rows in found.items()}
    ratios = {
        "same networks": rates["same networks: MemoryPPO"] / rates["same networks: RecurrentPPO"],
        "defaults": rates["defaults: MemoryPPO"] / rates["defaults: RecurrentPPO"],
    }
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.1f} times the frames per CPU second")
    if options.json:
        versions = {"python": platform.python_version(), "torch": torch.__version__, "sb3_contrib": sb3_contrib.__version__}
        results = {"frames per CPU second": rates, "returns": returns, "ratios": ratios, "hyper-parameters": SHARED}
        options.json.write_text(json.dumps({**results, "batch_size": BATCH, "versions": versions}, indent=1) + "\n")


if __name__ == "__main__":
    main()
