"""Labelled steps of a trained agent, to test PRMs on: `python examples/agent_steps.py RUN --out steps.jsonl`.

RUN is a folder that `train_ppo.py` wrote. The agent plays problems of the test split with sampled actions; labels are
`correct`, causal (`reasongym.prm.correctness`). What it has learned decides what its errors are like: a run that was stopped
halfway (`--timesteps`, `--stop-at`) makes other ones than planted or random errors.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import numpy as np
import torch
from evaluate import trained
from train_ppo import Config, small, train

from agents.labels import AgentPolicy
from agents.ppo import MemoryPPO
from reasongym.audit.collect import collect
from reasongym.audit.prm_sets import named
from reasongym.prm.formats import write_records
from reasongym.prm.records import StepRecord


def steps_of(folder: Path, episodes: int) -> list[StepRecord]:
    """Records of problems 0, 1, ... of the test split; `meta["set"]` is "agent"."""
    config, _ = trained(folder)
    policy = AgentPolicy(MemoryPPO.load(folder / "model.zip", device=config.device))
    torch.manual_seed(config.seed)
    return named("agent", collect(config.env, policy, np.arange(episodes), split="test", **config.keywords()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", help="folder of a finished run")
    parser.add_argument("--out", type=Path, default=Path("steps.jsonl"), help=".jsonl or .parquet, .gz for gzip")
    parser.add_argument("--episodes", type=int, default=1_000)
    parser.add_argument("--smoke", action="store_true", help="train something small first, and play that")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        if options.smoke:
            options.run, options.out, options.episodes = Path(scratch) / "run", Path(scratch) / "steps.jsonl", 8
            train(small(Config()), options.run)
        if options.run is None:
            parser.error("name the folder of a finished run")
        records = steps_of(options.run, options.episodes)
        write_records(records, options.out)
        labels = np.concatenate([record.labels[:, 0] for record in records])
        right, wrong = np.mean([record.outcome for record in records]), (labels < 0).sum()
        print(f"{len(records):,} episodes, {right:.1%} of them right; {wrong:,} of {len(labels):,} steps wrong: {options.out}")


if __name__ == "__main__":
    main()
