"""What reading by rule gets on natural text: `python examples/text_readers.py [--data FOLDER] [--json FILE] [--smoke]`.

Scripted readers and the expert play held-out problems of every text id once each, made to order and (with --data, a folder with
`squad/dev-v2.0-a.json.gz` and `fairytaleqa/train-val.tar.gz`) published, with 10 and with 3 slots. Beside the scores stand the
memory's rates: of the needed units, how many were ever held (capture), kept (retention), recalled (retrieval), and how often an
answer with all its evidence was right (use).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from agents.evaluation import evaluate
from agents.provenance import result_file
from reasongym.adapters.sb3 import make_vec_env
from reasongym.audit import policies
from reasongym.audit.policies import Policy, Situation
from reasongym.audit.readers import readers
from reasongym.envs import build

SETS = {
    "passages": ("ReasonGym-SQuAD2-v0", {}),
    "tales, summary": ("ReasonGym-NarrativeQA-v0", {}),
    "tales, fairytale": ("ReasonGym-FairytaleQA-v0", {}),
}
PUBLISHED = {
    "SQuAD 2.0 dev, half": ("ReasonGym-SQuAD2-v0", "squad/dev-v2.0-a.json.gz", "squad/train-v1.1-rebuilt.json.gz"),
    "FairytaleQA val": ("ReasonGym-FairytaleQA-v0", "fairytaleqa/train-val.tar.gz", "fairytaleqa/train-val.tar.gz"),
}
SHOWN = ("f1", "rouge_l", "right_where_answerable", "right_where_not")
SHOWN += ("capture", "retention", "retrieval", "use", "evidence_recall")


class Scripted:
    """A scripted policy behind SB3's `predict`."""

    def __init__(self, policy: Policy, env: Any) -> None:
        self.policy, self.env, self.step = policy, env, np.zeros(env.num_envs, np.int64)

    def predict(self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True) -> Any:
        self.step = np.where(episode_start, 0, self.step + 1)
        abstain = 2 * self.env.batch.shapes.positions
        problem = self.env.batch.memory.state["problem"]
        return self.policy(Situation(self.env.vector, observation, problem, self.step, abstain, 0)), state


def measure(env_id: str, known: dict[str, Policy], held_out: dict[str, Any], slots: int, problems: int) -> dict[str, Any]:
    """Scores and rates of every reader on a set."""
    env = make_vec_env(env_id, 64, seed=0, memory_slots=slots, **held_out)
    rows = {}
    for name, policy in {"random": policies.random, **known, "expert": policies.expert}.items():
        found = evaluate(Scripted(policy, env), env, problems=problems)
        rows[name] = {"right": found.accuracy, "interval": found.interval, "problems": found.problems, **found.rates}
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("REASONGYM_DATA"), help="default: REASONGYM_DATA")
    parser.add_argument("--problems", type=int, default=1_000, help="of a set, at most")
    parser.add_argument("--json", type=result_file, help="write the results here")
    parser.add_argument("--smoke", action="store_true", help="few problems of one set made to order, three slots")
    options = parser.parse_args()
    problems = 16 if options.smoke else options.problems
    jobs = {name: (env_id, {**more}, {**more, "split": "validation"}) for name, (env_id, more) in SETS.items()}
    if options.smoke:
        jobs = dict([next(iter(jobs.items()))])
    elif options.data:
        for name, (env_id, path, training) in PUBLISHED.items():
            held_out = {"source": str(Path(options.data) / path), "split": "validation"}
            jobs[name] = (env_id, {"source": str(Path(options.data) / training)}, held_out)
    results: dict[str, Any] = {}
    for name, (env_id, training, held_out) in jobs.items():
        dataset = env_id.removeprefix("ReasonGym-").removesuffix("-v0").lower()
        known = readers(build(dataset, (), training)[0])
        for slots in (3,) if options.smoke else (10, 3):
            rows = results[f"{name}, {slots} slots"] = measure(env_id, known, held_out, slots, problems)
            print(f"\n{name}, {slots} slots, {rows['expert']['problems']} problems")
            for reader, row in rows.items():
                shown = "  ".join(f"{key} {row[key]:.3f}" for key in ("right", *SHOWN) if key in row)
                print(f"  {reader:12s} {shown}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
