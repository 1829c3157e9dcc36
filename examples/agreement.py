"""How well scores without annotation agree with the annotated support of natural text.

    python examples/agreement.py --data FOLDER --json examples/results/agreement.json

For every unit of a problem: what the lexical PRM gives for recalling it first (goal, coherence, and their sum with the default
weights), and for storing it while it is read, the ten units before it held. Beside them the cosine of TF-IDF vectors (rarity
counted on training text, which the PRM never saw) and chance. AUC is how often a unit of the support scores above another,
as the mean over problems and over all pairs of all problems. Problems without answer or with nothing but support are left out.
The rules were chosen on training text alone, which `--split train` plays.
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

from agents.provenance import result_file
from reasongym.audit.play import sample
from reasongym.audit.readers import Rarity
from reasongym.envs import build
from reasongym.metrics import auc
from reasongym.prm.base import RECALL, STORE, StepBatch
from reasongym.prm.lexical import LexicalPRM
from reasongym.seeding import rng
from reasongym.types import Problem, ProblemSource

SETS = {"passages": "squad2", "tales, summary": "narrativeqa", "tales, fairytale": "fairytaleqa"}
TALES, PASSAGES = "fairytaleqa/train-val.tar.gz", "squad/train-v1.1-rebuilt.json.gz"
PUBLISHED = {
    "validation": {
        "SQuAD 2.0 dev, half": ("squad2", "squad/dev-v2.0-a.json.gz", PASSAGES),
        "FairytaleQA val": ("fairytaleqa", TALES, TALES),
    },
    "train": {"SQuAD 1.1 train": ("squad2", PASSAGES, PASSAGES), "FairytaleQA train": ("fairytaleqa", TALES, TALES)},
}
"""By split: data set, file of the texts that are played, file of the training texts."""
HELD = 10
"""Units in memory while storing is scored."""


def first_steps(problem: Problem, kind: int) -> StepBatch:
    """For each unit the step that recalls it first from slot 1, or stores it there with the `HELD` units before it held."""
    n = problem.num_units
    each, none = np.arange(n, dtype=np.int32), np.full(n, -1, np.int32)
    memory = np.full((n, HELD, 1), -1, np.int32)
    chain = np.full((n, 1, 1), -1, np.int32)
    if kind == RECALL:
        memory[:, 0, 0] = chain[:, 0, 0] = each
    else:
        memory[:, :, 0] = np.maximum(each[:, None] - 1 - np.arange(HELD), -1)
    return StepBatch(
        sentences=problem.story.units[:n], questions=(problem.question,), choices=(),
        sentence_tokens=np.zeros((n, 1), np.int32), question_tokens=np.zeros((1, 1), np.int32),
        kind=np.full(n, kind, np.int8), slot=np.zeros(n, np.int16), choice=none.astype(np.int16), illegal=np.zeros(n, bool),
        question=np.zeros(n, np.int32), desk=each if kind == STORE else none, units_read=each.astype(np.int16) + 1,
        num_units=np.full(n, n, np.int16), memory_before=memory, memory_after=memory,
        positions_before=memory.astype(np.int16), positions_after=memory.astype(np.int16), chain=chain,
        chain_positions=chain.astype(np.int16), chain_length=np.full(n, int(kind == RECALL), np.int16),
        terminated=np.zeros(n, bool), problem=np.zeros(n, np.int64),
    )  # fmt: skip


def scores(problem: Problem, prm: LexicalPRM, rarity: Rarity, source: ProblemSource, draw: Any) -> dict[str, np.ndarray]:
    """By name the score of each unit; what the PRM leaves unscored adds nothing, so it counts 0."""
    recalled = np.nan_to_num(prm.score(first_steps(problem, RECALL)))
    stored = np.nan_to_num(prm.score(first_steps(problem, STORE)))
    beta = [prm.default_beta[name] for name in prm.criteria]
    units = [source.tokenize(unit) for unit in problem.story.units[: problem.num_units]]
    tokens = np.zeros((1, len(units), max(map(len, units))), np.int64)
    for i, unit in enumerate(units):
        tokens[0, i, : len(unit)] = unit
    question = np.array([source.tokenize(problem.question)])
    return {
        "goal": recalled[:, prm.criteria.index("goal")],
        "coherence": recalled[:, prm.criteria.index("coherence")],
        "weighted sum": recalled @ beta,
        "storing": stored[:, prm.criteria.index("coherence")],
        "TF-IDF": rarity.nearness(question, tokens)[0],
        "random": draw.random(len(units)),
    }


def agreement(held_out: ProblemSource, training: ProblemSource, problems: int) -> dict[str, Any]:
    """AUC of every score on a set."""
    prm, rarity, draw = LexicalPRM(), Rarity(training), rng(0)
    total = held_out.num_problems or 100 * problems
    found: dict[str, list[tuple[list[float], list[bool]]]] = {}
    played = 0
    for index in draw.permutation(sample(total, min(total, 4 * problems))).tolist():
        problem = held_out.problem(index)
        if not problem.support or len(set(problem.support)) == problem.num_units:
            continue
        needed = [unit in problem.support for unit in range(problem.num_units)]
        for name, values in scores(problem, prm, rarity, held_out, draw).items():
            found.setdefault(name, []).append((values.tolist(), needed))
        played += 1
        if played == problems:
            break
    rows = {}
    for name, pairs in found.items():
        values, needed = ([item for pair in pairs for item in pair[part]] for part in (0, 1))
        rows[name] = {"problems": float(np.mean([auc(*pair) for pair in pairs])), "pooled": auc(values, needed)}  # type: ignore[arg-type]
    return {"problems": played, "auc": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("REASONGYM_DATA"), help="default: REASONGYM_DATA")
    parser.add_argument("--problems", type=int, default=500, help="of a set, at most")
    parser.add_argument("--split", default="validation", choices=("validation", "train"))
    parser.add_argument("--json", type=result_file, help="write the results here")
    parser.add_argument("--smoke", action="store_true", help="few problems of one set made to order")
    options = parser.parse_args()
    problems = 8 if options.smoke else options.problems
    jobs: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {}
    if options.data and not options.smoke:
        for name, (dataset, path, training) in PUBLISHED[options.split].items():
            jobs[name] = (dataset, *({"source": str(Path(options.data) / file)} for file in (path, training)))
    jobs |= {name: (dataset, {}, {}) for name, dataset in SETS.items()}
    if options.smoke:
        jobs = dict([next(iter(jobs.items()))])
    results = {}
    for name, (dataset, held_out, training) in jobs.items():
        source = build(dataset, (), {**held_out, "split": options.split})[0]
        found = results[name] = agreement(source, build(dataset, (), training)[0], problems)
        shown = "  ".join(f"{key} {row['problems']:.3f} ({row['pooled']:.3f})" for key, row in found["auc"].items())
        print(f"{name}, {found['problems']} problems: {shown}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
