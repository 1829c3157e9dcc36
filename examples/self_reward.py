"""Iterative self-reward: `python examples/self_reward.py [--help]`.

One run: an arm (`gold`, `none`, `annotation`) from a weak start, PPO on annotated rewards that was stopped early.

    python examples/self_reward.py --arm none --rounds 2

With --model, a language model plays, judges and learns (a folder of `train_llm.py`, or a checkpoint's name):

    python examples/self_reward.py --model runs/llm --rounds 2 --learning-rate 1e-4 --batch-size 128 --n-steps 16

An experiment: the runs that a committed file names, tasks x variants x seeds, one after another. It can be played in parts and
killed at any time; what is finished is not played again. At the end, and with --show at any time, held-out success over rounds
is printed, with 95% intervals over the seeds (with one seed, over the problems), and the last line is one JSON object.

    python examples/self_reward.py --settings examples/settings/self_reward.json --only qa2 --minutes 20
    python examples/self_reward.py --settings examples/settings/self_reward.json --show --json examples/results/self_reward.json
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import argparse
import json
import math
import sys
import time
from dataclasses import asdict, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np
import torch

from agents.provenance import commit, result_file
from agents.self_reward import SelfReward, Settings, weak_start

SHOWN = ("held_out", "verdict_auc", "judge_agreement", "length", "capture", "answer_entropy", "gold_bits", "annotation_bits")
"""Columns of the table of one run."""
T95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
"""97.5% quantiles of Student's t for so many seeds."""


class Run(NamedTuple):
    """One run of an experiment.

    Attributes:
        task, variant, seed: what it is called by.
        env, keywords: of the environments.
        settings: of the run.
        start: `frames` of the weak start that all variants of a task and seed share, and other arguments of `weak_start`; or
            `model`, a language model.
        held_out: problems of the report.
    """

    task: str
    variant: str
    seed: int
    env: str
    keywords: dict[str, Any]
    settings: Settings
    start: dict[str, Any]
    held_out: int

    def folder(self, out: Path) -> Path:
        """Where it is kept."""
        return out / f"{self.task}--{self.variant}--{self.seed}"

    def made(self, out: Path) -> SelfReward:
        """The run itself, as far as it was played."""
        if "model" in self.start:
            from agents.llm_rounds import Language

            begin: dict[str, Any] = {"learner": Language(self.start["model"], agent={"instructions": "none"})}
        else:
            saved = out / f"start-{self.task}-{self.seed}.pt"
            begin = {"start": weak_start(saved, self.env, self.seed, **self.start, **self.keywords)["policy"]}
        return SelfReward(self.env, self.settings, self.folder(out), held_out=self.held_out, **begin, **self.keywords)

    def rows(self, out: Path) -> list[dict[str, Any]]:
        """Rows that are there."""
        path = self.folder(out) / "rounds.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def runs_of(path: Path) -> list[Run]:
    """The runs of a settings file: seed by seed, of each all tasks, of each all variants."""
    chosen = json.loads(path.read_text())
    known = {field.name for field in fields(Settings)}
    out = []
    for seed in chosen["seeds"]:
        for task, own in chosen["tasks"].items():
            for variant in own.get("variants", chosen["variants"]):
                changes = chosen["variants"][variant]
                settings = {**chosen["common"], **own.get("settings", {}), **changes, "seed": seed}
                if wrong := sorted(set(settings) - known):
                    raise ValueError(f"{path} sets {', '.join(wrong)}; the settings of a run are {', '.join(sorted(known))}")
                out.append(Run(task, variant, seed, own["env"], own.get("keywords", {}), Settings(**settings),
                               own["start"], own.get("held_out", chosen["held_out"])))  # fmt: skip
    return out


def play_all(runs: list[Run], out: Path, seconds: float | None) -> None:
    """Plays runs, a round at a time, until they or the CPU seconds are over."""
    started = time.process_time()
    for number, run in enumerate(runs, 1):
        made = None
        while len(run.rows(out)) <= run.settings.rounds:
            if seconds is not None and time.process_time() - started > seconds:
                print(f"time is over in run {number} of {len(runs)}: call again to go on", file=sys.stderr)
                return
            made = made or run.made(out)
            last = made.run(1)[-1]
            print(f"{number}/{len(runs)} {run.task}, {run.variant}, seed {run.seed}: round {last['round']} of "
                  f"{run.settings.rounds}, held-out {last['held_out']:.1%}, {last['cpu_seconds']:.0f} s",
                  file=sys.stderr, flush=True)  # fmt: skip


def interval(values: np.ndarray) -> tuple[float, float]:
    """95% interval of a mean share by Student's t, over seeds."""
    half = T95[len(values)] * float(values.std(ddof=1)) / math.sqrt(len(values))
    return max(0.0, float(values.mean()) - half), min(1.0, float(values.mean()) + half)


def summary(runs: list[Run], out: Path) -> dict[str, dict[str, list[dict[str, float]]]]:
    """By task and variant, for each round that every seed has played: mean, interval, seeds, and the other columns' means."""
    told: dict[str, dict[str, list[dict[str, float]]]] = {}
    for task, variant in dict.fromkeys((run.task, run.variant) for run in runs):
        every = [rows for run in runs if (run.task, run.variant) == (task, variant) and (rows := run.rows(out))]
        table = []
        for rows in zip(*every, strict=False):
            values = np.array([row["held_out"] for row in rows])
            low, high = interval(values) if len(rows) > 1 else (rows[0]["low"], rows[0]["high"])
            others = {name: [row[name] for row in rows if row.get(name) is not None] for name in SHOWN[1:]}
            line = {"round": rows[0]["round"], "seeds": len(rows), "held_out": float(values.mean()), "low": low, "high": high}
            line["by_seed"] = [round(float(value), 4) for value in values]
            table.append(line | {name: float(np.mean(found)) for name, found in others.items() if found})
        if table:
            told.setdefault(task, {})[variant] = table
    return told


def write(path: Path, told: dict[str, dict[str, list[dict[str, float]]]]) -> None:
    """Writes a summary, beside what the file holds of other tasks and variants, and of the same with more rounds or seeds."""
    tables = json.loads(path.read_text())["tasks"] if path.exists() else {}
    for task, variants in told.items():
        for variant, table in variants.items():
            before = tables.setdefault(task, {}).get(variant, [])
            if sum(row["seeds"] for row in table) >= sum(row["seeds"] for row in before):
                tables[task][variant] = table
    record = {"versions": {name: version(name) for name in ("torch", "numpy", "gymnasium")}, "commit": commit()}
    path.write_text(json.dumps({**record, "tasks": tables}, indent=1) + "\n")


def show(told: dict[str, dict[str, list[dict[str, float]]]]) -> None:
    """Held-out success over rounds, a line a variant."""
    for task, variants in told.items():
        print(f"\n{task}: held-out success (95% interval) by round")
        for variant, table in variants.items():
            cells = [f"{row['held_out']:.1%} ({row['low']:.0%} to {row['high']:.0%})" for row in table]
            print(f"  {variant:<24}" + "  ".join(cells))


def show_run(rows: list[dict[str, Any]]) -> None:
    """The rows of one run."""
    print("round  " + "  ".join(f"{name:>15}" for name in SHOWN))
    for row in rows:
        told = {name: math.nan if row.get(name) is None else row[name] for name in SHOWN}
        print(f"{row['round']:>5}  " + "  ".join(f"{value:>15.3f}" for value in told.values()))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", type=Path, help="a file of runs; without it one run is played")
    parser.add_argument("--only", nargs="*", default=[], help="tasks, variants or seeds of the file to play; default all")
    parser.add_argument("--minutes", type=float, help="of CPU, after which to stop")
    parser.add_argument("--show", action="store_true", help="print what is there, play nothing")
    parser.add_argument("--json", type=result_file, help="of an experiment: the summary goes here")
    parser.add_argument("--env", default="ReasonGym-bAbI-qa1-v0")
    parser.add_argument(
        "--keywords", type=json.loads, default={"difficulty": {"max_units": 6}}, help="JSON, of the environments"
    )
    parser.add_argument("--model", help="a language model to begin with, instead of a weak start")
    parser.add_argument("--start-frames", type=int, default=16_384, help="frames of the weak start")
    parser.add_argument("--held-out", type=int, default=500, help="held-out problems of each report")
    parser.add_argument("--out", type=Path, default=Path("runs/self_reward"))
    parser.add_argument("--smoke", action="store_true", help="seconds, to see that it runs")
    for field in fields(Settings):
        kind: Any = (lambda text: text == "True") if isinstance(field.default, bool) else type(field.default)
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=field.default, metavar=str(field.default))
    return parser.parse_args()


def smoke(out: Path) -> None:
    """A tiny experiment, in parts."""
    tiny = {"rounds": 1, "problems": 8, "samples": 2, "states": 4, "candidates": 2, "completions": 1, "annotated": 4,
            "timesteps": 64, "num_envs": 8, "n_steps": 8, "lessons": 4}  # fmt: skip
    task = {"env": "ReasonGym-bAbI-qa1-v0", "keywords": {"difficulty": {"max_units": 3}}, "start": {"frames": 64}}
    chosen = {"common": tiny, "held_out": 10, "seeds": [0, 1], "tasks": {"qa1": task},
              "variants": {"gold": {"arm": "gold"}, "none": {"arm": "none", "pairs": "random", "replay": False}}}  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    path = out / "smoke.json"
    path.write_text(json.dumps(chosen))
    play_all(runs_of(path)[:1], out, None)
    play_all(runs_of(path), out, None)
    told = summary(runs_of(path), out)
    show(told)
    write(out / "smoke-result.json", told)
    assert [row["seeds"] for row in told["qa1"]["none"]] == [2, 2]


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    if options.smoke:
        smoke(Path("runs/self_reward_smoke"))
        return
    if options.settings is None:
        settings = Settings(**{field.name: getattr(options, field.name) for field in fields(Settings)})
        run = Run(
            "run",
            settings.arm,
            settings.seed,
            options.env,
            options.keywords,
            settings,
            {"model": options.model} if options.model else {"frames": options.start_frames},
            options.held_out,
        )
        rows = run.made(options.out).run()
        show_run(rows)
        print(json.dumps({"env": run.env, "settings": asdict(settings), "start": run.start, "rounds": rows}))
        return
    runs = runs_of(options.settings)
    if options.only:
        chosen = set(options.only)
        names = {name for run in runs for name in (run.task, run.variant, str(run.seed))}
        if chosen - names:
            raise SystemExit(f"--only {sorted(chosen - names)}: the file has {sorted(names)}")
        runs = [run for run in runs if all(not (chosen & group) or name in chosen for name, group in _groups(run, runs))]
    if not options.show:
        play_all(runs, options.out, None if options.minutes is None else 60 * options.minutes)
    told = summary(runs, options.out)
    show(told)
    if options.json:
        write(options.json, told)
    print(json.dumps(told))


def _groups(run: Run, runs: list[Run]) -> list[tuple[str, set[str]]]:
    """The run's task, variant and seed, each beside all there are."""
    return [
        (run.task, {other.task for other in runs}),
        (run.variant, {other.variant for other in runs}),
        (str(run.seed), {str(other.seed) for other in runs}),
    ]


if __name__ == "__main__":
    main()
