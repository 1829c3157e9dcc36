"""What a Ray cluster gives: `python examples/bench_ray.py [--help]`.

Measured on this machine, with 1 and with 2 workers, in alternating rounds:

- sweep: runs of a benchmark suite in a minute (`python -m reasongym bench --engine ray`), each of a few CPU seconds;
- scoring: steps a second of a process reward model behind `RayPRM`, for one that costs a millisecond a step.

And what the driver alone needs: for a run (dispatch, and writing its result), and for a step (sending it, collecting its
scores).

From these a simulation says what 10, 100 and 1,000 nodes of 16 CPUs would give, with nodes that are lost now and then, and what
breaks first. The last line is the JSON, which --json also gets.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

import gymnasium as gym
import numpy as np
import ray

import reasongym  # noqa: F401 (registers the ids)
from agents.benchmark.ray_queue import RayQueue
from agents.benchmark.suite import suite_of
from agents.provenance import commit, result_file
from reasongym.adapters.ray import RayPRM
from reasongym.prm.base import StepBatch
from reasongym.seeding import rng

CPUS = 16
"""Of a simulated node."""
LIFE = 24 * 3600.0
"""Mean seconds until a simulated node is lost; it is back after a minute."""
SWEEP = {
    "protocol": 1, "seeds": [1], "num_envs": 8, "budget": {"seconds": 3, "timesteps": 1_000_000}, "compare": [],
    "evaluation": {"problems": 50, "points": 1, "curve_problems": 10, "episodes": 0, "horizon": 1000},
    "settings": {"short": {"env": "ReasonGym-bAbI-qa1-v0", "keywords": {"difficulty": {"max_units": 4}}}},
    "rows": {"ppo": {"agent": "outcome-only", "options": {"n_steps": 16}}},
}  # fmt: skip


class Costly:
    """Scores that take a millisecond of CPU each."""

    criteria, needs_annotation, version, default_beta = ("costly",), False, "costly-1", {"costly": 0.1}

    def score(self, steps: StepBatch) -> np.ndarray:
        ends = time.process_time() + 1e-3 * len(steps)
        while time.process_time() < ends:
            pass
        return (steps.kind[:, None] / 10).astype(np.float32)


class Free(Costly):
    """The same for nothing: what is left is the way there and back."""

    version = "free-1"

    def score(self, steps: StepBatch) -> np.ndarray:
        return (steps.kind[:, None] / 10).astype(np.float32)


def sweep(workers: int, runs: int) -> Callable[[], float]:
    """A function that plays a suite and returns runs a minute."""

    def play() -> float:
        suite = suite_of("bench", {**SWEEP, "seeds": list(range(1, runs + 1))})
        with tempfile.TemporaryDirectory() as place:
            queue, began = RayQueue(Path(place), jobs=workers, told=lambda line: None), time.perf_counter()
            queue.play(list(suite.runs("cpu")))
            if queue.failures:
                raise RuntimeError(f"a run failed: {queue.failures[0].why}")
            return 60 * runs / (time.perf_counter() - began)

    return play


def some_steps(num_envs: int) -> StepBatch:
    """Steps as a PRM is shown them."""
    seen: list[StepBatch] = []

    class Watching(Free):
        def score(self, steps: StepBatch) -> np.ndarray:
            seen.append(steps)
            return super().score(steps)

    env = gym.make_vec("ReasonGym-bAbI-qa2-v0", num_envs=num_envs, prm=Watching())
    env.reset(seed=0)
    env.step(np.ones(num_envs, np.int64))  # all store their first sentence
    return max(seen, key=len)


def scoring(workers: int, prm: Any, steps: StepBatch, times: int) -> Callable[[], float]:
    """A function that scores a batch several times and returns steps a second; without a worker, in this process."""
    judge = RayPRM(prm, workers=workers, num_cpus=0.25, least=1) if workers else prm  # all that take turns fit on two CPUs

    def score() -> float:
        began = time.perf_counter()
        for _ in range(times):
            judge.score(steps)
        return times * len(steps) / (time.perf_counter() - began)

    return score


def alternating(runs: dict[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """Medians; one round each is not counted."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            figure = run()
            if repeat:
                found[name].append(figure)
    return {name: round(statistics.median(figures), 2) for name, figures in found.items()}


def driver_seconds(count: int) -> float:
    """Seconds of the driver for a run: a task that does nothing, and a result that is written as results are."""
    task = ray.remote(num_cpus=0)(lambda: {"result.json": "{}" * 5_000})
    ray.get([task.remote() for _ in range(10)])
    with tempfile.TemporaryDirectory() as place:
        began = time.perf_counter()
        for i, reference in enumerate([task.remote() for _ in range(count)]):
            files = ray.get(reference)
            with (Path(place) / str(i)).open("w") as file:
                file.write(files["result.json"])
                file.flush()
                os.fsync(file.fileno())
        return (time.perf_counter() - began) / count


def simulated_sweep(nodes: int, runs: int, seconds: float, driver: float, seed: int = 0) -> dict[str, float]:
    """A sweep on so many nodes: each run goes to the first free CPU, is begun anew where its node is lost, and its result waits
    for the driver."""
    draw = rng(seed, 41)
    free = [(0.0, slot) for slot in range(nodes * CPUS)]
    heapq.heapify(free)
    driver_free, lost, ends = 0.0, 0, []
    lives = draw.exponential(LIFE, nodes)
    for _ in range(runs):
        while True:
            at, slot = heapq.heappop(free)
            node, begins = slot // CPUS, max(at, driver_free)
            driver_free = max(driver_free, at) + driver
            over = begins + seconds * draw.uniform(0.95, 1.2)
            if over < lives[node]:
                heapq.heappush(free, (over, slot))
                ends.append(over)
                break
            lost += 1  # begun anew elsewhere; the node is back after a minute
            back = lives[node] + 60
            if begins >= lives[node]:
                lives[node] = back + draw.exponential(LIFE)
            heapq.heappush(free, (back, slot))
    whole = max(ends)
    return {
        "hours": round(whole / 3600, 3),
        "busy": round(runs * seconds * 1.075 / (whole * nodes * CPUS), 3),
        "played_again": lost,
        "driver": round(runs * driver / whole, 4),
    }


def simulated_scoring(nodes: int, per_worker: float, driver: float) -> dict[str, float]:
    """Steps a second: what the workers could, or what the driver can send."""
    could, sent = nodes * CPUS * per_worker, 1 / driver
    return {"workers": round(could), "driver": round(sent), "steps_per_second": round(min(could, sent))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--runs", type=int, default=4, help="of a measured sweep")
    parser.add_argument("--suite-runs", type=int, default=321, help="of the simulated sweep")
    parser.add_argument("--run-seconds", type=float, default=205.0, help="of one of its runs")
    parser.add_argument("--json", type=result_file, help="write the results here")
    parser.add_argument("--smoke", action="store_true", help="seconds, to see that it runs")
    options = parser.parse_args()
    repeats, runs, envs, times = (1, 1, 16, 1) if options.smoke else (options.repeats, options.runs, 1024, 2)
    ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False, object_store_memory=100 * 2**20)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    steps = some_steps(envs)
    counts = (0, 1) if options.smoke else (0, 1, 2)
    scored = alternating({f"{n} workers": scoring(n, Costly(), steps, times) for n in counts}, repeats)
    sent = alternating({"sent": scoring(1, Free(), steps, 10 * times)}, repeats)
    told = {name: value for name, value in vars(options).items() if name not in ("json", "smoke")}
    result: dict[str, Any] = {
        "arguments": told,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in ("ray", "gymnasium", "numpy")}},
        "commit": commit(),
        "scoring": scored,
        "steps": len(steps),
        "driver_seconds_a_step": 1 / sent["sent"],
    }
    if not options.smoke:  # without the workers that scored
        ray.shutdown()
        ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False, object_store_memory=100 * 2**20)
    result["driver_seconds_a_run"] = driver_seconds(20 if options.smoke else 300)
    if not options.smoke:
        result["sweep"] = alternating({f"{n} workers": sweep(n, runs) for n in (1, 2)}, repeats)
    ray.shutdown()
    for nodes in (10, 100, 1000):
        result[f"{nodes} nodes"] = {
            "sweep": simulated_sweep(nodes, options.suite_runs, options.run_seconds, result["driver_seconds_a_run"]),
            "ten_thousand_runs": simulated_sweep(nodes, 10_000, options.run_seconds, result["driver_seconds_a_run"]),
            "scoring": simulated_scoring(nodes, scored["1 workers"], result["driver_seconds_a_step"]),
        }
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
