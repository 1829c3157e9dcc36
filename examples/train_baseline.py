"""Trains a baseline and says what it learned: `python examples/train_baseline.py AGENT [--help]`.

AGENT is a name (`--list` prints them) or an import path, `pkg.module:Class`. It learns for so many frames or CPU seconds,
whichever ends first, and then plays every held-out problem once. The last line printed is one JSON object: accuracy with its
95% interval, supervision and what it cost, next to random, majority, last-unit and expert. Into --out go the agent,
`config.json`, `metrics.jsonl` and `result.json`.

    python examples/train_baseline.py tf-idf
    python examples/train_baseline.py entnet --env ReasonGym-bAbI-qa1-v0 --seconds 60
    python examples/train_baseline.py rlhf --options '{"label_budget": 2000}' --keywords '{"memory_slots": 4}'
    python examples/train_baseline.py my_package.mine:MyAgent
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import torch
from train_ppo import versions

from agents.base import Agent, evaluate
from agents.baselines import BASELINES, baseline
from agents.provenance import commit
from reasongym.adapters.sb3 import make_vec_env
from reasongym.audit.accuracy import baselines


@dataclass(frozen=True)
class Config:
    """The arguments of a run, as they stand in `config.json`."""

    agent: str = "cloning"
    env: str = "ReasonGym-bAbI-qa1-v0"
    source: str = "procedural"
    difficulty: str = "published"  # a named setting, or JSON
    timesteps: int = 1_000_000
    seconds: float = 180.0  # of CPU; 0: none but the frames
    seed: int = 0
    device: str = "cpu"
    num_envs: int = 256
    keywords: str = ""  # JSON: other keywords of the environments; they come before the row's own
    options: str = ""  # JSON: arguments of the agent's class
    eval_every: int = 0  # frames between evaluations on `eval_problems` held-out problems, which cost no seconds; 0: none
    eval_problems: int = 500
    held_out: int = 10_000  # problems of the final evaluation, at most
    threads: int = 1

    def problems(self) -> dict[str, Any]:
        """The keywords that choose problems."""
        difficulty = json.loads(self.difficulty) if self.difficulty.startswith("{") else self.difficulty
        return {"source": self.source, "difficulty": difficulty}

    def environment(self) -> dict[str, Any]:
        """All keywords of the environments: the problems', the row's, and those given."""
        own = json.loads(self.keywords) if self.keywords else {}
        return {**self.problems(), **baseline(self.agent).keywords, **own}


class Curve:
    """Evaluates every so many frames and writes `metrics.jsonl`."""

    def __init__(self, config: Config, path: Path) -> None:
        self.config, self.path, self.evaluated, self.started = config, path, 0, time.process_time()
        self.agent: Agent | None = None
        path.write_text("")

    def __call__(self, frames: int) -> bool:
        every = self.config.eval_every
        if not every or self.agent is None or frames - self.evaluated < every:
            return True
        self.evaluated = frames
        found = evaluate(self.agent, self.config.env, problems=self.config.eval_problems, **self.config.environment())
        seconds = round(time.process_time() - self.started, 1)
        row = {"timesteps": frames, "cpu_seconds": seconds, "held_out": found.accuracy, "return": found.mean_return}
        with self.path.open("a") as file:
            file.write(json.dumps({**row, **{name: round(rate, 4) for name, rate in found.rates.items()}}) + "\n")
        print(f"{frames:>10,} frames {seconds:>7.0f} s   held-out {found.accuracy:6.1%}", file=sys.stderr, flush=True)
        return True


def train(config: Config, out: Path) -> dict[str, Any]:
    """Trains, evaluates on every held-out problem, and writes the run's files; returns the result."""
    torch.set_num_threads(config.threads)
    row, keywords = baseline(config.agent), config.environment()
    env = make_vec_env(config.env, config.num_envs, seed=config.seed, split="train", **keywords)
    agent = row.make(env, config.seed, config.device, **(json.loads(config.options) if config.options else {}))
    record = {"arguments": asdict(config), "versions": versions(), "commit": commit(), "data": env.batch.source.fingerprint}
    (out / "config.json").write_text(json.dumps(record, indent=1) + "\n")
    curve, frames = Curve(config, out / "metrics.jsonl"), [0]
    curve.agent = agent

    def progress(seen: int) -> bool:
        frames[0] = seen
        return curve(seen)

    started = time.process_time()
    agent.learn(config.timesteps, seconds=config.seconds or None, progress=progress)
    seconds = time.process_time() - started
    agent.save(out / "agent.zip")
    found = evaluate(agent, config.env, problems=config.held_out, **keywords)
    there = baselines(config.env, split="validation", most=min(2_000, found.problems), **config.problems())
    result = {
        **record,
        "accuracy": found.accuracy,
        "interval": found.interval,
        "problems": found.problems,
        "mean_return": found.mean_return,
        "rates": {name: round(value, 4) for name, value in found.rates.items()},
        "baselines": {name: there[name].share for name in there},
        "supervision": getattr(agent, "supervision", "not said"),
        "ledger": {name: value if math.isfinite(value) else None for name, value in getattr(agent, "ledger", {}).items()},
        "timesteps": frames[0],
        "cpu_seconds": round(seconds, 1),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} thread",
    }
    (out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    return result


def arguments(argv: list[str] | None = None) -> tuple[Config, argparse.Namespace]:
    """The command line as a `Config`, and what else it says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("agent", nargs="?", default=Config.agent, help="a name, or pkg.module:Class")
    for field in fields(Config)[1:]:
        kind = type(field.default)
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=field.default, metavar=kind.__name__)
    parser.add_argument("--out", type=Path, help="folder of the run (default runs/AGENT-ENV-seedN)")
    parser.add_argument("--list", action="store_true", help="print the names")
    parser.add_argument("--smoke", action="store_true", help="seconds, to see that it runs")
    options = parser.parse_args(argv)
    values = {field.name: getattr(options, field.name) for field in fields(Config)}
    if options.smoke:
        values |= {"timesteps": 2_048, "num_envs": 16, "difficulty": '{"max_units": 4}', "held_out": 100}
        values |= {"eval_every": 1_000, "eval_problems": 20}
    return Config(**values), options


def main() -> None:
    config, options = arguments()
    if options.list:
        print("\n".join(BASELINES))
        return
    out = options.out or Path("runs") / f"{config.agent.replace(':', '.')}-{config.env}-seed{config.seed}"
    out.mkdir(parents=True, exist_ok=True)
    result = train(config, out)
    shown = ("accuracy", "interval", "problems", "baselines", "supervision", "ledger", "timesteps", "cpu_seconds")
    print(json.dumps({"agent": config.agent, "env": config.env, **{key: result[key] for key in shown}}))


if __name__ == "__main__":
    main()
