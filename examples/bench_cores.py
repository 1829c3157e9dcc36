"""Frames per CPU second of each memory core, one thread: `python examples/bench_cores.py [--json FILE] [--smoke]`.

*Training*: a core alone, forward and backward over a minibatch of 16 sequences of 64 steps in which an episode begins every 15
steps. *Acting*: a core alone, one step of 256 environments. *PPO*: rollouts and updates of a whole agent on task 1 (flat
inputs, one core and two layers of 64 for actor and critic each, 64 environments, 32 steps, four epochs). sb3-contrib's LSTM
is the loop over time and the RecurrentPPO of that package, with the same sizes. "compiled" is `torch.compile` on the step;
what compiling costs is not in the rates, but told. Rows take turns, the median of the rounds counts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import sb3_contrib
import torch
from sb3_contrib import RecurrentPPO
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from torch import Tensor, nn

from agents.memory import CORES, Core, State
from agents.ppo import MemoryPPO
from agents.provenance import result_file
from reasongym.adapters.sb3 import make_vec_env

INPUT, HIDDEN = 320, 128
"""D and H: what MemoryPPO's reader gives its core, and the core's default size."""
STEPS, COLUMNS, EPISODE, ENVIRONMENTS = 64, 16, 15, 256
"""T and B of a minibatch, mean steps of an episode, and how many environments act at once."""
PPO = {"learning_rate": 1e-3, "n_steps": 32, "batch_size": 512, "n_epochs": 4, "gamma": 0.95, "seed": 0, "device": "cpu"}
THEIRS = "lstm (sb3-contrib)"
NAMES = ("gru", "lstm", "dnc", "rmc")


class TheirLSTM(nn.Module):
    """sb3-contrib's way through a sequence behind the protocol `Core`: a loop over time where an episode begins in it."""

    recurrent, output_size = True, HIDDEN

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(INPUT, HIDDEN)

    def initial_state(self, batch_size: int) -> State:
        return torch.zeros(batch_size, HIDDEN), torch.zeros(batch_size, HIDDEN)

    def forward(self, x: Tensor, state: State, reset: Tensor, final_state: bool = True) -> tuple[Tensor, State]:
        h, c = (s[None] for s in state)
        flat, starts = x.transpose(0, 1).flatten(0, 1), reset.t().flatten().float()
        y, (h, c) = RecurrentActorCriticPolicy._process_sequence(flat, (h, c), starts, self.lstm)
        return y.view(x.shape[1], x.shape[0], -1).transpose(0, 1), (h[0], c[0])


def training(core: Core) -> Callable[[], int]:
    """One forward and backward pass over a minibatch; returns how many frames it had."""
    x, reset = torch.randn(STEPS, COLUMNS, INPUT), torch.rand(STEPS, COLUMNS) < 1 / EPISODE
    state = core.initial_state(COLUMNS)

    def work() -> int:
        core.forward(x, state, reset, final_state=False)[0].square().mean().backward()
        return x.shape[0] * x.shape[1]

    return work


def acting(core: Core) -> Callable[[], int]:
    """One step of all environments."""
    x, state = torch.randn(1, ENVIRONMENTS, INPUT), core.initial_state(ENVIRONMENTS)
    reset = torch.rand(1, ENVIRONMENTS) < 1 / EPISODE

    def work() -> int:
        with torch.no_grad():
            core.forward(x, state, reset)
        return ENVIRONMENTS

    return work


def rate(work: Callable[[], int], seconds: float) -> float:
    """Frames per CPU second over at least `seconds`."""
    frames, start = 0, time.process_time()
    while (spent := time.process_time() - start) < seconds or not frames:
        frames += work()
    return frames / spent


def ppo_rate(name: str, frames: int) -> float:
    """Frames per CPU second of an agent from its first rollout to its last update."""
    env = make_vec_env("ReasonGym-bAbI-qa1-v0", 64, seed=0, difficulty={"max_units": 6}, memory_slots=6)
    model: Any
    if name == THEIRS:
        network = {"lstm_hidden_size": HIDDEN, "net_arch": [64, 64], "enable_critic_lstm": True}
        model = RecurrentPPO("MultiInputLstmPolicy", env, policy_kwargs=network, **PPO)
    else:
        network = {"encoder": "flat", "core": name, "core_size": HIDDEN, "net_arch": (64, 64)}
        model = MemoryPPO("MemoryPolicy", env, policy_kwargs=network, **PPO)
    start = time.process_time()
    model.learn(frames)
    return model.num_timesteps / (time.process_time() - start)


def compiled(name: str) -> tuple[Any, float]:
    """A core whose step is compiled, and the wall-clock seconds until it has run once in training and once in acting."""
    core: Any = CORES[name](INPUT, HIDDEN, compile=True)
    start = time.perf_counter()
    for work in (training(core), acting(core)):
        work()
        work()
    return core, time.perf_counter() - start


def measure(rounds: int, seconds: float, frames: int, compile: bool) -> dict[str, dict[str, float]]:
    """The table: a row for each core."""
    torch.manual_seed(0)
    cores: dict[str, Any] = {name: CORES[name](INPUT, HIDDEN) for name in NAMES} | {THEIRS: TheirLSTM()}
    table: dict[str, dict[str, float]] = {name: {} for name in cores}
    for name in ("dnc", "rmc") if compile else ():
        core, took = compiled(name)
        print(f"{name} compiled after {took:.0f} s", file=sys.stderr, flush=True)
        cores[f"{name} (compiled)"], table[f"{name} (compiled)"] = core, {"seconds to compile": round(took, 1)}
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds):
        for name, core in cores.items():
            for column, make in (("training", training), ("acting", acting)):
                work = make(core)
                work()
                found.setdefault((name, column), []).append(rate(work, seconds))
            if frames and "compiled" not in name:
                found.setdefault((name, "PPO"), []).append(ppo_rate(name, frames))
    for (name, column), rates in found.items():
        table[name][column] = round(statistics.median(rates))
    for name, core in cores.items():
        table[name]["parameters"] = sum(parameter.numel() for parameter in core.parameters())
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=result_file, help="write the results here")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.5, help="CPU seconds of each measurement")
    parser.add_argument("--frames", type=int, default=2_048, help="of each PPO; 0: none")
    parser.add_argument("--no-compile", action="store_true", help="leave the compiled steps out")
    parser.add_argument("--smoke", action="store_true", help="small and quick, to see that it runs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.smoke:
        options.rounds, options.seconds, options.frames, options.no_compile = 1, 0.01, 0, True
    table = measure(options.rounds, options.seconds, options.frames, not options.no_compile)
    columns = ("training", "acting", "PPO", "parameters", "seconds to compile")
    print(f"{'frames per CPU second':24s}" + "".join(f"{column:>20s}" for column in columns))
    for name, row in table.items():
        print(f"{name:24s}" + "".join(f"{row[column]:>20,.0f}" if column in row else " " * 20 for column in columns))
    if options.json:
        versions = {"python": platform.python_version(), "torch": torch.__version__, "sb3_contrib": sb3_contrib.__version__}
        sizes = {"input": INPUT, "hidden": HIDDEN, "steps": STEPS, "columns": COLUMNS, "episode": EPISODE}
        results = {"table": table, "sizes": {**sizes, "acting": ENVIRONMENTS}, "PPO": PPO, "versions": versions}
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
