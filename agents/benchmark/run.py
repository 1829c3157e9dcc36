"""One run of a benchmark, in a process of its own: `python -m agents.benchmark.run FOLDER [--data FOLDER]`.

FOLDER holds `run.json`. The agent learns for its CPU seconds, is evaluated now and then, and at the end on every held-out
problem once, as it is then: the best evaluation on the way is not picked. `result.json` comes last and in one piece, so a
process that is killed leaves a run that is not over, and is played anew; one that is over stays as it is, whoever asks.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import platform
import re
import sys
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch

from agents.base import Agent, agent_class, evaluate_in
from agents.baselines import BASELINES
from agents.benchmark.curve import Curve, finite
from agents.benchmark.files import EPISODES, LOG, PROGRESS, RESULT, REWARD_MODEL, RUN, TakenError, locked, write_json
from agents.benchmark.ledger import CountedVecEnv, counted_env, ledger_of, told_in_words
from agents.benchmark.results import read_result, refuse_other
from agents.benchmark.reward_models import Made, Plan, make_reward_model
from agents.benchmark.suite import PROTOCOL
from agents.episodes import record_episodes
from agents.evaluation import Evaluation
from agents.provenance import commit
from reasongym.adapters.sb3 import make_vec_env

FULL, TAKEN = 28, 75
"""Exit codes: the disk is full (errno's number), another process plays the run."""
RATES = ("capture", "retention", "retrieval", "use")
PACKAGES = ("gymnasium", "numpy", "numba", "torch", "stable-baselines3")


class Stage(NamedTuple):
    """What a run is played with.

    Attributes:
        agent: fresh.
        env: its training environments.
        held_out: environments to evaluate in on the way, with the row's own rewards.
        measured: those of the final evaluation: the same, where its memory is measured, too.
        keywords: of the training environments.
        made: the reward model, if the row trains one.
    """

    agent: Agent
    env: CountedVecEnv
    held_out: Any
    measured: Any
    keywords: dict[str, Any]
    made: Made | None


def play(folder: Path, data: str = "", threads: int = 1, parent: int = 0) -> dict[str, Any]:
    """Plays the run of a folder and writes its files; returns the result. A run that is over is not touched: its result is.

    Args:
        folder: with `run.json`.
        data: what `{data}` stands for.
        threads: of torch.
        parent: the process without which this one is to end; 0: none.

    Raises:
        TakenError: another process plays it.
        ProtocolError: it is over, and was played by another protocol or with other settings.
        ValueError, ...: whatever its environments or its agent raise, but for divergence, which is a result.
    """
    torch.set_num_threads(threads)
    with locked(folder):
        run = json.loads((folder / RUN).read_text())
        config = run["config"]
        if (path := folder / RESULT).exists():  # it ended after whoever asks for it had looked
            refuse_other(path, result := read_result(path), config)
            return result
        clear(folder)
        stage = staged(config, run["seed"], folder, data)
        spent = stage.made.seconds if stage.made else 0.0
        seconds, how = config["budget"]["seconds"], config["evaluation"]
        curve = Curve(
            stage.agent,
            stage.held_out,
            folder,
            seconds=max(0.0, seconds - spent),
            points=how["points"] if config["trained"] else 0,
            problems=how["curve_problems"],
            spent=spent,
            played=stage.made.frames if stage.made else 0,
            parent=parent,
        )
        diverged = learn(stage.agent, curve, config["budget"]["timesteps"], max(0.0, seconds - spent))
        learned, found = curve.spent, None
        if not diverged:
            found = evaluate_in(stage.agent, stage.measured, how["problems"])
            curve.add(found, learned, paid=stage.measured is stage.held_out)
            if how["episodes"]:
                record(stage, config, run["row"], folder)
        result = result_of(run, stage, curve, found, spent + learned)
        write_json(folder / RESULT, result)
        return result


def clear(folder: Path) -> None:
    """Removes what a process that was killed said of the run; whoever writes the log appends to it."""
    (folder / PROGRESS).unlink(missing_ok=True)
    if (log := folder / LOG).exists():
        os.truncate(log, 0)


def staged(config: Mapping[str, Any], seed: int, folder: Path, data: str = "") -> Stage:
    """Makes reward model, environments and agent."""
    keywords = resolved(config["keywords"], data)
    made = None
    if config["reward_model"] is not None:
        plan = Plan.of(resolved(config["reward_model"], data))
        made = make_reward_model(plan, config["env"], keywords, folder / REWARD_MODEL, seed, config["device"])
        keywords["prm"] = made.prm
    env = counted_env(config["env"], config["num_envs"], seed, split="train", **keywords)
    shapes = env.batch.shapes
    keywords |= {"unit_tokens": shapes.unit_tokens, "question_tokens": shapes.question_tokens}
    split, problems = config["evaluation"]["split"], config["evaluation"]["problems"]
    held_out = make_vec_env(config["env"], min(500, problems), seed=0, split=split, **keywords)
    measured = held_out
    if not held_out.batch.settings.annotated:  # capture, retention, ... are told where support is read; rewards alone change
        own = {**keywords, "prm": "annotated", "beta": None}
        measured = make_vec_env(config["env"], min(500, problems), seed=0, split=split, **own)
    name = config["agent"]
    kind, options = (agent_class(name), {}) if ":" in name else (BASELINES[name].agent, BASELINES[name].options)
    agent = kind(env, seed=seed, device=config["device"], **{**options, **config["options"]})
    return Stage(agent, env, held_out, measured, keywords, made)


def resolved(value: Any, data: str) -> Any:
    """A value of a settings file with the folder of the published files put in.

    Raises:
        ValueError: the folder is asked for, and is not known.
    """
    if isinstance(value, Mapping):
        return {key: resolved(part, data) for key, part in value.items()}
    if isinstance(value, list):
        return [resolved(part, data) for part in value]
    if not isinstance(value, str) or "{data}" not in value:
        return value
    if not data:
        raise ValueError(f"{value!r} lies in the folder of the published files: say where, with --data or REASONGYM_DATA")
    return value.replace("{data}", data)


def learn(agent: Agent, curve: Curve, timesteps: int, seconds: float) -> bool:
    """Lets an agent learn; whether it diverged: a parameter or the arithmetic was no finite number."""
    try:
        agent.learn(timesteps, seconds=seconds, progress=curve)
    except FloatingPointError as error:
        print(f"diverged: {error}", file=sys.stderr)
        return True
    except Exception as error:
        if finite(agent):
            raise
        print(f"diverged: parameters are not finite, which ended in {type(error).__name__}: {error}", file=sys.stderr)
        return True
    return not finite(agent)


def record(stage: Stage, config: Mapping[str, Any], row: str, folder: Path) -> None:
    """Writes a few held-out episodes."""
    record_episodes(
        stage.agent,
        config["env"],
        folder / EPISODES,
        name=row,
        problems=config["evaluation"]["episodes"],
        split=config["evaluation"]["split"],
        wrap=getattr(stage.agent, "playing_in", None),
        **stage.keywords,
    )


def result_of(run: Mapping[str, Any], stage: Stage, curve: Curve, found: Evaluation | None, seconds: float) -> dict[str, Any]:
    """What `result.json` holds; `found` is None of a run that diverged, which counts as a failure."""
    config = run["config"]
    reached = [line["frames"] for line in curve.lines if line["success"] >= config["threshold"]]
    made = stage.made
    return {
        "protocol": PROTOCOL,
        **{name: run[name] for name in ("suite", "row", "setting", "seed")},
        "status": "diverged" if found is None else "finished",
        "success": 0.0 if found is None else found.accuracy,
        "interval": [0.0, 0.0] if found is None else list(found.interval),
        "problems": 0 if found is None else found.problems,
        "rates": {} if found is None else {name: round(found.rates[name], 4) for name in RATES if name in found.rates},
        **({"by_task": found.by_task} if found is not None and len(found.by_task) > 1 else {}),
        "frames": curve.frames,
        "cpu_seconds": round(seconds, 2),
        "steps_to_threshold": min(reached) if reached and found is not None else None,
        "supervision": told_in_words(stage.agent, stage.env, made.supervision if made else ""),
        "ledger": ledger_of(stage.agent, stage.env, made.ledger if made else {}),
        "config": config,
        "versions": {**versions(), "data": stage.env.batch.source.fingerprint},
        "commit": commit(),
    }


def versions() -> dict[str, str]:
    """Of what computed the result, and the machine."""
    found = {name: version(name) for name in PACKAGES}
    machine = f"{processor()}, {torch.get_num_threads()} thread"
    return {"python": platform.python_version(), **found, "machine": machine}


def processor() -> str:
    """The CPU's architecture and, where Linux tells, its model."""
    told = Path("/proc/cpuinfo")
    models = re.findall(r"^model name\s*: (.+)$", told.read_text(), re.MULTILINE) if told.exists() else []
    return ", ".join([platform.machine(), *models[:1]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", default="")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--parent", type=int, default=0, help="end when this process is no longer the parent")
    options = parser.parse_args()
    started = time.time()
    try:
        result = play(options.folder, options.data, options.threads, options.parent)
    except TakenError:  # said by the exit code alone: the log is the other process's
        sys.exit(TAKEN)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(f"the disk is full: {error}", file=sys.stderr)
        sys.exit(FULL)
    print(f"{result['status']}, success {result['success']:.3f}, {time.time() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
