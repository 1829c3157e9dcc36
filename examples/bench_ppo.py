"""MemoryPPO beside sb3-contrib's RecurrentPPO, one core: `python examples/bench_ppo.py [--json FILE] [--smoke]`.

*Same networks*: the same environments, inputs, networks (an LSTM of 256 and two layers of 64 for actor and critic each) and
hyper-parameters, once RecurrentPPO's own and once larger batches. *Defaults*: each algorithm as it comes, on as many
environments as it is meant for. Frames per CPU second of this process, rollouts and updates together; runs take turns, the
median counts. The return is that of the last 100 episodes.
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
from agents.provenance import result_file
from reasongym.adapters.sb3 import make_vec_env

ID = "ReasonGym-bAbI-qa1-v0"
SETTINGS: dict[str, dict[str, Any]] = {
    "theirs": {"num_envs": 8, "batch_size": 128, "learning_rate": 3e-4, "n_steps": 128, "n_epochs": 10, "gamma": 0.99},
    "large": {"num_envs": 64, "batch_size": 512, "learning_rate": 1e-3, "n_steps": 64, "n_epochs": 4, "gamma": 0.95},
}
"""Hyper-parameters that both algorithms get: RecurrentPPO's defaults, and larger batches on more environments."""


def environments(num_envs: int, seed: int) -> VecEnv:
    """The same environments for both."""
    return make_vec_env(ID, num_envs, seed=seed, difficulty={"max_units": 6}, memory_slots=6)


def ours(settings: dict[str, Any], seed: int) -> MemoryPPO:
    """MemoryPPO with RecurrentPPO's network: flat inputs, LSTM-256 and 64-64 for actor and critic each."""
    policy = {"encoder": "flat", "core": "lstm", "core_size": 256, "net_arch": (64, 64), "separate_critic": True}
    rest = {**settings, "gae_lambda": 0.95, "ent_coef": 0.0}
    env = environments(rest.pop("num_envs"), seed)
    return MemoryPPO("MemoryPolicy", env, seed=seed, device="cpu", policy_kwargs=policy, **rest)


def theirs(settings: dict[str, Any], seed: int) -> RecurrentPPO:
    """RecurrentPPO with the same."""
    policy = {"lstm_hidden_size": 256, "net_arch": [64, 64], "enable_critic_lstm": True}
    rest = {**settings, "gae_lambda": 0.95, "ent_coef": 0.0}
    env = environments(rest.pop("num_envs"), seed)
    return RecurrentPPO("MultiInputLstmPolicy", env, seed=seed, device="cpu", policy_kwargs=policy, **rest)


def our_defaults(settings: dict[str, Any], seed: int) -> MemoryPPO:
    """MemoryPPO as it comes, with an LSTM core."""
    env = environments(256, seed)
    return MemoryPPO("MemoryPolicy", env, seed=seed, device="cpu", policy_kwargs={"core": "lstm"}, **settings)


def their_defaults(settings: dict[str, Any], seed: int) -> RecurrentPPO:
    """RecurrentPPO as it comes, on eight environments."""
    return RecurrentPPO("MultiInputLstmPolicy", environments(8, seed), seed=seed, device="cpu", **settings)


def measured(model: Any, frames: int) -> tuple[float, float]:
    """(frames per CPU second, mean return of the last 100 episodes) after `frames` frames."""
    start = time.process_time()
    model.learn(frames)
    seconds = time.process_time() - start
    returns = [episode["r"] for episode in list(model.ep_info_buffer)[-100:]]
    return model.num_timesteps / seconds, float(np.mean(returns))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=result_file, help="write the results here")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=8_192, help="of each run")
    parser.add_argument("--smoke", action="store_true", help="small and quick, to see that it runs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    frames, less = (128, {"n_steps": 16}) if options.smoke else (options.frames, {})
    cases: dict[str, tuple[Any, dict[str, Any]]] = {
        "same networks, RecurrentPPO's settings: MemoryPPO": (ours, SETTINGS["theirs"]),
        "same networks, RecurrentPPO's settings: RecurrentPPO": (theirs, SETTINGS["theirs"]),
        "same networks, large batches: MemoryPPO": (ours, SETTINGS["large"]),
        "same networks, large batches: RecurrentPPO": (theirs, SETTINGS["large"]),
        "defaults: MemoryPPO": (our_defaults, {}),
        "defaults: RecurrentPPO": (their_defaults, {}),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for seed in range(1 if options.smoke else options.rounds):
        for name, (make, settings) in cases.items():
            found[name].append(measured(make({**settings, **less}, seed), frames))
            print(f"{name:52s} {found[name][-1][0]:>10,.0f} frames/CPU s   return {found[name][-1][1]:.3f}", flush=True)
    rates = {name: statistics.median(rate for rate, _ in rows) for name, rows in found.items()}
    returns = {name: [value for _, value in rows] for name, rows in found.items()}
    pairs = sorted({name.split(": ")[0] for name in cases})
    ratios = {pair: rates[f"{pair}: MemoryPPO"] / rates[f"{pair}: RecurrentPPO"] for pair in pairs}
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.1f} times the frames per CPU second")
    if options.json:
        versions = {"python": platform.python_version(), "torch": torch.__version__, "sb3_contrib": sb3_contrib.__version__}
        results = {"frames per CPU second": rates, "returns": returns, "ratios": ratios, "settings": SETTINGS}
        options.json.write_text(json.dumps({**results, "versions": versions}, indent=1) + "\n")


if __name__ == "__main__":
    main()
