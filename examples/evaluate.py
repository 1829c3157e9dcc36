"""Scores a trained model on other problems than its own: `python examples/evaluate.py RUN [RUN ...] --source S --split test`.

RUN is a folder that `train_ppo.py` wrote. Every problem of the split is played once, with the run's own memory and the most
probable actions; what is not said is as in training. The last line printed is one JSON object a run, also written to --json.

    python examples/evaluate.py runs/transfer-qa1-1 --split test                                      # made to order, unseen
    python examples/evaluate.py runs/transfer-qa1-1 --split validation --source FOLDER/en-10k.tar.gz  # the published files
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import torch
from train_ppo import Config, baselines, by_task, small, supervision, train, versions

from agents.evaluation import evaluate
from agents.ppo import MemoryPPO
from agents.provenance import result_file
from reasongym.adapters.sb3 import make_vec_env


def trained(folder: Path) -> tuple[Config, dict[str, Any]]:
    """The arguments and the result of a run.

    Raises:
        FileNotFoundError: the folder has no finished run.
    """
    missing = [name for name in ("config.json", "model.zip") if not (folder / name).exists()]
    if missing:
        raise FileNotFoundError(f"{folder} is not the folder of a finished run of train_ppo.py: it has no {', '.join(missing)}")
    record = json.loads((folder / "config.json").read_text())
    known = {field.name for field in fields(Config)}
    return Config(**{key: value for key, value in record["arguments"].items() if key in known}), record


def score(folder: Path, source: str, split: str, difficulty: str, problems: int, partial: bool = False) -> dict[str, Any]:
    """Accuracy of the run's model on `problems` problems (at most) of a source and split; `partial` admits incomplete files."""
    config, record = trained(folder)
    there = replace(config, source=source or config.source, difficulty=difficulty or ("" if source else config.difficulty))
    there = replace(there, allow_partial=partial or config.allow_partial)
    model = MemoryPPO.load(folder / "model.zip", device=config.device)
    widths = {f"{name}_tokens": model.observation_space[name].shape[0] for name in ("unit", "question")}
    env = make_vec_env(there.env, 500, seed=0, split=split, **there.keywords(), **there.rewards(), **widths)
    found = evaluate(model, env, problems=problems)
    beside = baselines(there.env, split=split, most=min(2_000, found.problems), **there.keywords())
    return {
        "run": folder.name,
        "env": config.env,
        "trained_on": record["arguments"]["source"],
        "played": env.batch.source.name,
        "accuracy": found.accuracy,
        "interval": found.interval,
        "problems": found.problems,
        **by_task(found),
        "baselines": {name: baseline.share for name, baseline in beside.items()},
        "supervision": supervision(config),
        "data": env.batch.source.fingerprint,
        "versions": versions(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="*", help="folders of finished runs")
    parser.add_argument("--source", default="", help="procedural, hub, or a path (default: the one trained on)")
    parser.add_argument("--split", default="test")
    parser.add_argument("--difficulty", default="", help="a named setting, or JSON; procedural sources only")
    parser.add_argument("--problems", type=int, default=10_000, help="at most")
    parser.add_argument("--allow-partial", action="store_true", help="admit incomplete published files")
    parser.add_argument("--json", type=result_file, help="file of results, to which these are added")
    parser.add_argument("--smoke", action="store_true", help="train something small first, and score that")
    options = parser.parse_args()
    if options.smoke:
        options.runs = [Path("runs") / "smoke"]
        train(small(Config()), options.runs[0])
        options.problems = 100
    if not options.runs:
        parser.error("name at least one folder that train_ppo.py wrote")
    torch.set_num_threads(1)
    for run in options.runs:
        result = score(run, options.source, options.split, options.difficulty, options.problems, options.allow_partial)
        print(json.dumps(result), flush=True)
        if options.json:
            rows = json.loads(options.json.read_text()) if options.json.exists() else []
            same = ("run", "played")
            rows = [row for row in rows if any(row[key] != result[key] for key in same)] + [result]
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
