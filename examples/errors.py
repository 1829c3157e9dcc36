"""What a trained model still gets wrong, and where: `python examples/errors.py RUN [--each 2] [--json FILE]`.

RUN is a folder that `train_ppo.py` wrote. Every held-out problem is played once; each wrong answer is put down to the first
thing that was missing: a needed sentence never stored, stored and lost, not recalled, or all of it recalled and misread. Of
every task a few are printed as they were played: text with what was needed, question, chain, answer and gold.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import numpy as np
import torch
from evaluate import trained
from train_ppo import Config, small, train, versions

from agents.base import SB3Agent
from agents.episodes import record_episodes
from agents.evaluation import chosen_problems, evaluate
from agents.ppo import MemoryPPO
from agents.provenance import result_file
from reasongym.adapters.sb3 import make_vec_env
from reasongym.audit.play import sample

CAUSES = ("never stored", "stored and lost", "not recalled", "recalled and misread", "nothing was needed")
MOST = 200
"""Wrong answers of a task that are looked at (a draw where there are more); all are counted."""


def cause(episode: dict[str, Any]) -> str:
    """What was missing first (see the module)."""
    if not episode["support"]:
        return CAUSES[-1]
    rates = episode["rates"]
    for name, missing in zip(("capture", "retention", "retrieval"), CAUSES, strict=False):
        if (rate := rates.get(name)) is not None and rate < 1:
            return missing
    return CAUSES[-2]


def errors(folder: Path, problems: int, each: int) -> dict[str, Any]:
    """Share and causes of wrong answers by task, with `each` of them as they were played."""
    config, _ = trained(folder)
    model = MemoryPPO.load(folder / "model.zip", device=config.device)
    widths = {f"{name}_tokens": model.observation_space[name].shape[0] for name in ("unit", "question")}
    keywords = {**config.keywords(), **config.rewards(), **widths}
    env = make_vec_env(config.env, 500, seed=0, split="validation", **keywords)
    if not env.batch.settings.annotated:  # only where support is read can be told what was missing
        keywords |= {"prm": "annotated", "beta": None}
        env = make_vec_env(config.env, 500, seed=0, split="validation", **keywords)
    played = chosen_problems(env.batch.source.num_problems, problems)
    found = evaluate(model, env, played)
    wrong = played[~np.array(found.right)]
    tasks = np.array([env.batch.source.problem(int(problem)).task for problem in wrong], int)
    told = {}
    for task, accuracy in found.by_task.items():
        of_task = wrong[tasks == task]
        chosen = of_task[sample(len(of_task), MOST)] if len(of_task) else of_task
        agent = SB3Agent(model, "")
        episodes = record_episodes(agent, config.env, problems=chosen.tolist(), **keywords) if len(chosen) else []
        told[task] = {
            "error": round(1 - accuracy, 4),
            "wrong": len(of_task),
            "looked_at": len(chosen),
            "causes": dict(Counter(map(cause, episodes)).most_common()),
            "examples": [as_played(episode) for episode in episodes[:each]],
        }
    share = [task["error"] for task in told.values()]
    return {
        "run": folder.name,
        "mean_error": round(float(np.mean(share)), 4),
        "failed": sum(error > 0.05 for error in share),
        "problems": found.problems,
        "tasks": told,
        "versions": versions(),
    }


def as_played(episode: dict[str, Any]) -> dict[str, Any]:
    """An episode's text (needed sentences starred), question, chain, answer, gold and what was missing."""
    said = [f"{'*' if i in episode['support'] else ' '} {unit}" for i, unit in enumerate(episode["units"])]
    chain = [" ".join(episode["units"][i] for i in entry["units"]) for entry in episode["end"]["chain"]]
    words = {name: episode[name] for name in ("question", "answer", "gold")}
    return {"problem": episode["problem"], "text": said, "chain": chain, **words, "cause": cause(episode)}


def printed(found: dict[str, Any]) -> None:
    """Prints a run's errors."""
    print(f"{found['run']}: {100 * found['mean_error']:.1f}% wrong in the mean over tasks, {found['failed']} tasks above 5%")
    for task, told in found["tasks"].items():
        causes = ", ".join(f"{name} {count}" for name, count in told["causes"].items())
        print(f"\ntask {task}: {100 * told['error']:.1f}% ({told['wrong']}); of {told['looked_at']}: {causes}")
        for example in told["examples"]:
            print(*example["text"], f"  {example['question']}", sep="\n  ")
            print(f"    {example['cause']}; chain: {' / '.join(example['chain'])}")
            print(f"    answered {example['answer']!r}, right is {' or '.join(example['gold'])!r}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="*", help="folders of finished runs")
    parser.add_argument("--problems", type=int, default=20_000, help="held-out ones, at most")
    parser.add_argument("--each", type=int, default=2, help="wrong answers of a task that are shown")
    parser.add_argument("--json", type=result_file, help="file to write all of it to")
    parser.add_argument("--smoke", action="store_true", help="train something small first, and look at that")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.runs, options.problems = [Path("runs") / "smoke"], 60
        train(small(Config()), options.runs[0])
    if not options.runs:
        parser.error("name at least one folder that train_ppo.py wrote")
    torch.set_num_threads(1)
    results = [errors(run, options.problems, options.each) for run in options.runs]
    for found in results:
        printed(found)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
