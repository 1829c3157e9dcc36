"""How fast the engine is, measured in one run with its peers: `python examples/bench_engine.py [--json FILE] [--smoke]`.

Every rate is the median over rounds in which all cases take turns, so that a noisy machine is noisy for all of them. Ours plays
recorded legal actions (a first pass records what a uniformly random legal policy does, the timed pass replays it), the peers play
pre-drawn random actions; resets are included everywhere, drawing actions nowhere. Annotated rewards are on, shapes are the
defaults. Peers: `pip install minigrid popgym textworld`; those that are missing are left out.
"""  # noqa: E501

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import gymnasium as gym
import numpy as np

import reasongym
from reasongym.engine.compiled import kernels
from reasongym.tasks import babi
from reasongym.tasks.prose.source import passages, tales

ID = "ReasonGym-bAbI-v0"
TEXT_IDS = {name: f"ReasonGym-{name}-v0" for name in ("SQuAD2", "NarrativeQA", "FairytaleQA")}
POOL = 2_000
"""Problems of the pooled cases: generated before the clock starts."""


def random_legal(mask: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """One uniformly random legal action a row."""
    return (generator.random(mask.shape, dtype=np.float32) * mask).argmax(-1)


class Vector:
    """N of our environments replaying recorded actions."""

    def __init__(self, num_envs: int, steps: int = 128, **keywords: Any) -> None:
        self.env = gym.make_vec(keywords.pop("id", ID), num_envs=num_envs, **({"num_problems": POOL} | keywords))
        generator, self.actions = np.random.default_rng(0), []
        observation, _ = self.env.reset(seed=0)
        for _ in range(steps):
            self.actions.append(random_legal(observation["action_mask"], generator))
            observation, *_ = self.env.step(self.actions[-1])
        self.num_envs = num_envs

    def __call__(self) -> tuple[int, float]:
        self.env.reset(seed=0)
        start = time.perf_counter()
        for action in self.actions:
            self.env.step(action)
        return len(self.actions) * self.num_envs, time.perf_counter() - start


class Kernel(Vector):
    """The same steps without Gymnasium around them: the compiled kernel alone."""

    def __call__(self) -> tuple[int, float]:
        self.env.reset(seed=0)
        batch = self.env.unwrapped.batch  # type: ignore[attr-defined]
        start = time.perf_counter()
        for action in self.actions:
            batch.step(action)
        return len(self.actions) * self.num_envs, time.perf_counter() - start


class Copying:
    """What one core needs to copy the same observation bytes."""

    def __init__(self, vector: Vector) -> None:
        self.block, self.num_envs = vector.env.unwrapped.batch.arena.bytes, vector.num_envs  # type: ignore[attr-defined]

    def __call__(self) -> tuple[int, float]:
        start = time.perf_counter()
        for _ in range(128):
            self.block.copy()
        return 128 * self.num_envs, time.perf_counter() - start


class Single:
    """One of our environments through `gym.make`, replaying recorded actions."""

    def __init__(self, steps: int, **keywords: Any) -> None:
        self.env = gym.make(ID, **({"num_problems": POOL} | keywords))
        generator, self.actions = np.random.default_rng(0), []
        observation, _ = self.env.reset(seed=0)
        for _ in range(steps):
            action = int(random_legal(observation["action_mask"], generator))
            self.actions.append(action)
            observation, _, terminated, truncated, _ = self.env.step(action)
            if terminated or truncated:
                observation, _ = self.env.reset()

    def __call__(self) -> tuple[int, float]:
        self.env.reset(seed=0)
        start = time.perf_counter()
        for action in self.actions:
            _, _, terminated, truncated, _ = self.env.step(action)
            if terminated or truncated:
                self.env.reset()
        return len(self.actions), time.perf_counter() - start


class Peer:
    """A peer's environment: one through its constructor or `gym.make`, or N in a `SyncVectorEnv`."""

    def __init__(self, make: Callable[[], gym.Env], steps: int, num_envs: int = 0) -> None:
        self.num_envs, self.steps = num_envs, steps
        self.env: Any = gym.vector.SyncVectorEnv([make] * num_envs) if num_envs else make()
        space = self.env.single_action_space if num_envs else self.env.action_space
        space.seed(0)
        self.actions = [[space.sample() for _ in range(num_envs)] if num_envs else space.sample() for _ in range(steps)]

    def __call__(self) -> tuple[int, float]:
        self.env.reset(seed=0)
        start = time.perf_counter()
        for action in self.actions:
            _, _, terminated, truncated, _ = self.env.step(action)
            if not self.num_envs and (terminated or truncated):
                self.env.reset()
        return self.steps * max(self.num_envs, 1), time.perf_counter() - start


class TextWorldPeer:
    """A small TextWorld game with its list of admissible commands, through its own interface."""

    def __init__(self, steps: int) -> None:
        import textworld
        import textworld.gym

        options = textworld.GameOptions()
        options.path = tempfile.mkdtemp() + "/game.z8"
        options.seeds, options.nb_rooms, options.nb_objects, options.quest_length = 1, 1, 3, 1
        game = textworld.make(options)[0]
        infos = textworld.EnvInfos(admissible_commands=True)
        self.env, self.steps = textworld.gym.make(textworld.gym.register_game(game, infos, max_episode_steps=50)), steps

    def __call__(self) -> tuple[int, float]:
        _, infos = self.env.reset()
        generator = np.random.default_rng(0)
        start = time.perf_counter()
        for _ in range(self.steps):
            commands = infos["admissible_commands"]
            _, _, done, infos = self.env.step(commands[generator.integers(len(commands))])
            if done:
                _, infos = self.env.reset()
        return self.steps, time.perf_counter() - start


def peers(smoke: bool) -> dict[str, Callable[[], tuple[int, float]]]:
    """The peers that are installed."""
    found: dict[str, Callable[[], tuple[int, float]]] = {}
    scale = 20 if smoke else 1
    if importlib.util.find_spec("minigrid"):
        import minigrid  # noqa: F401

        def maze() -> gym.Env:
            return gym.make("MiniGrid-MemoryS13-v0")

        found["minigrid MemoryS13, one"] = Peer(maze, 4000 // scale)
        found["minigrid MemoryS13, SyncVectorEnv 64"] = Peer(maze, 64 // scale + 1, 64)
    if importlib.util.find_spec("popgym"):
        import popgym  # noqa: F401
        from popgym.envs.repeat_previous import RepeatPreviousEasy

        found["popgym RepeatPreviousEasy, one"] = Peer(lambda: RepeatPreviousEasy(), 20_000 // scale)
    if importlib.util.find_spec("textworld"):
        found["textworld tiny, one"] = TextWorldPeer(200 // scale)
    return found


def rates(smoke: bool, rounds: int) -> dict[str, float]:
    """Steps a second of every case: medians over rounds in which the cases take turns."""
    many = 64 if smoke else 4096
    vector = Vector(many)
    texts = {name: Vector(many, id=env_id, steps=64, num_problems=POOL // 4) for name, env_id in TEXT_IDS.items()}
    cases: dict[str, Callable[[], tuple[int, float]]] = {
        "one, gym.make": Single(500 if smoke else 10_000),
        "make_vec, 64": Vector(64),
        f"make_vec, {many}": vector,
        f"make_vec, {many}, copy=False": Vector(many, copy=False),
        f"kernel, {many}, 1 thread": Kernel(many),
        f"kernel, {many}, 2 threads": Kernel(many, threads=2),
        f"kernel, {4 * many}, 1 thread": Kernel(4 * many, steps=64),
        f"kernel, {4 * many}, 2 threads": Kernel(4 * many, steps=64, threads=2),
        f"copying {many} observations": Copying(vector),
        "make_vec, 64, endless, qa1": Vector(64, num_problems=None, id="ReasonGym-bAbI-qa1-v0"),
        **{f"{name}, make_vec, {many}": case for name, case in texts.items()},
        **{f"{name}, copying {many} observations": Copying(case) for name, case in texts.items()},
        **peers(smoke),
    }
    found: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            steps, seconds = case()
            found[name].append(steps / seconds)
    return {name: statistics.median(values) for name, values in found.items()}


def ratios(r: dict[str, float], smoke: bool) -> dict[str, float]:
    """The ratios that the README states."""
    many = 64 if smoke else 4096
    pairs = {
        "one / minigrid": ("one, gym.make", "minigrid MemoryS13, one"),
        "one / popgym": ("one, gym.make", "popgym RepeatPreviousEasy, one"),
        "one / textworld": ("one, gym.make", "textworld tiny, one"),
        "make_vec / minigrid SyncVectorEnv": (f"make_vec, {many}", "minigrid MemoryS13, SyncVectorEnv 64"),
        "make_vec / copying": (f"make_vec, {many}", f"copying {many} observations"),
        "copy=False / copy=True": (f"make_vec, {many}, copy=False", f"make_vec, {many}"),
        **{
            f"{name}, make_vec / copying": (f"{name}, make_vec, {many}", f"{name}, copying {many} observations")
            for name in TEXT_IDS
        },
        f"2 threads / 1, {many}": (f"kernel, {many}, 2 threads", f"kernel, {many}, 1 thread"),
        f"2 threads / 1, {4 * many}": (f"kernel, {4 * many}, 2 threads", f"kernel, {4 * many}, 1 thread"),
    }
    return {name: r[a] / r[b] for name, (a, b) in pairs.items() if a in r and b in r}


def memory() -> dict[str, float]:
    """Bytes of 4,096 environments beside the problem table, and of one environment's state and observation, by data set."""
    found = {}
    for name, env_id in {"bAbI": ID, **TEXT_IDS}.items():
        batch = gym.make_vec(env_id, num_envs=4096, num_problems=64).unwrapped.batch  # type: ignore[attr-defined]
        state = sum(array.nbytes for array in (*batch.memory, *batch.result))
        found[f"{name}, 4096 environments, MiB"] = (state + batch.arena.bytes.nbytes) / 2**20
        found[f"{name}, state, bytes"], found[f"{name}, observation, bytes"] = state / 4096, batch.arena.bytes.nbytes / 4096
    return found


def generation(seconds: float) -> dict[str, float]:
    """Problems generated a second, by task and kind of text."""
    found = {}
    sources: dict[str, Any] = {f"task {task}": babi.load((task,), num_problems=None) for task in (1, 2, 3)}
    sources |= {"passages": passages(), "tales, summary": tales(), "tales, fairytale": tales(kind="fairytale")}
    for name, source in sources.items():
        i, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            source.problem(i)
            i += 1
        found[f"{name}, problems/s"] = i / (time.perf_counter() - start)
    return found


LOADING = """
import os, sys, time
from reasongym.envs import build
from reasongym.engine.batch import Batch
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
before = resident()
start = time.perf_counter()
source, settings = build(sys.argv[1], range(1, 21), {"source": sys.argv[2], "allow_partial": True})
Batch(source, settings, 1)
print(time.perf_counter() - start, resident() - before, source.num_problems)
"""

PUBLISHED = (
    ("20 published files", "babi", "babi/en-10k.tar.gz"),
    ("SQuAD 1.1 train", "squad2", "squad/train-v1.1-rebuilt.json.gz"),
    ("FairytaleQA train", "fairytaleqa", "fairytaleqa/train-val.tar.gz"),
)

FIRST_STEP = """
import time
start = time.perf_counter()
import gymnasium, reasongym
env = gymnasium.make("ReasonGym-bAbI-v0")
env.reset(seed=0)
env.step(0)
print(time.perf_counter() - start)
"""


def fresh_process(code: str, *arguments: str, **environment: str) -> list[float]:
    """The numbers that a fresh interpreter prints last."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )
    return [float(word) for word in done.stdout.split()]


def start_up(data: str | None) -> dict[str, float]:
    """Seconds to the first step, and to load the published files, cold and from the cache."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as cache:
        found["first step after an install, s"] = fresh_process(FIRST_STEP, REASONGYM_CACHE=cache)[0]
        found["first step in later processes, s"] = min(fresh_process(FIRST_STEP, REASONGYM_CACHE=cache)[0] for _ in range(3))
        if data:
            for name, dataset, path in PUBLISHED:
                arguments = (dataset, str(Path(data) / path))
                cold, mebibytes, problems = fresh_process(LOADING, *arguments, REASONGYM_CACHE=cache)
                warm = min(fresh_process(LOADING, *arguments, REASONGYM_CACHE=cache)[0] for _ in range(3))
                found |= {f"{name}, cold, s": cold, f"{name}, cached, s": warm}
                found |= {f"{name}, MiB": mebibytes, f"{name}, problems": problems}
    return found


def table(title: str, rows: dict[str, float]) -> None:
    """Prints a table of numbers."""
    print(f"\n{title}")
    for name, value in rows.items():
        print(f"  {name:42s} {value:>14,.2f}" if value < 1000 else f"  {name:42s} {value:>14,.0f}")


TABLES = ("steps a second", "memory", "generation", "start-up")
"""The first brings ratios with it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--data", default=os.environ.get("REASONGYM_DATA"), help="folder with babi/en-10k.tar.gz")
    parser.add_argument("--smoke", action="store_true", help="small and quick, to see that it runs")
    parser.add_argument("--only", choices=TABLES, help="measure this table alone; in --json the others stay")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    kernels()
    results: dict[str, Any] = {}
    chosen = [options.only] if options.only else TABLES[:3] if options.smoke else TABLES
    if "steps a second" in chosen:
        results["steps a second"] = rates(options.smoke, 1 if options.smoke else options.rounds)
        results["ratios"] = ratios(results["steps a second"], options.smoke)
    if "memory" in chosen:
        results["memory"] = memory()
    if "generation" in chosen:
        results["generation"] = generation(0.2 if options.smoke else 3.0)
    if "start-up" in chosen:
        results["start-up"] = start_up(options.data)
    for title, rows in results.items():
        table(title, rows)
    results["versions"] = {"reasongym": reasongym.__version__, "python": platform.python_version(), "numpy": np.__version__}
    if options.json:
        if options.only and options.json.exists():
            results = {**json.loads(options.json.read_text()), **results}
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
