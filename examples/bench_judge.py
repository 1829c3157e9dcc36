"""What a shared prefix is worth to a judge of k criteria.

    python examples/bench_judge.py --json examples/results/bench_judge.json

The same questions about the same steps (topic and verdict, both label orders: 4 a criterion) are answered by the same local
model, on one thread, in three ways, alternating; medians of the repetitions:

* shared: `Judge`'s own way, each step's beginning computed once for all criteria;
* k calls: one criterion at a time, the four questions about it on a prefix of their own;
* 4k calls: every question from its first token, as a server without prefix caching does it.

Answers are checked to be equal to 1e-4. The model is Llama's architecture with random weights, which costs what a trained one
of its size costs; the steps are those of bAbI tasks 1, 2 and 3, so the length of the material varies.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

import numpy as np
import torch
import train_judge

from agents.provenance import result_file
from reasongym.prm.judge import Ledger, Rubric, read_rubric
from reasongym.prm.judge.local import LocalModel
from reasongym.prm.judge.questions import PROMPTS, Asking, Question

MORE = (
    ("brevity", "Does the step say anything?", "Does it say that without repeating what has been said before?"),
    ("evidence", "Does the step claim anything?", "Is every claim in it supported by what was read?"),
    ("order", "Does the step build on another?", "Does it come after everything that it builds on?"),
    ("timeliness", "Does the step use a fact that can change?", "Is it the latest state of that fact?"),
    ("modesty", "Does the step answer the question?", "Is that answer given only once it is certain?"),
)
"""Criteria beyond those that are shipped."""


def rubrics(k: int) -> list[Rubric]:
    """The shipped ones and, beyond three, some of `MORE`."""
    shipped = [read_rubric(PROMPTS / f"{name}.txt") for name in train_judge.CRITERIA]
    return (shipped + [Rubric(name, f"{name}-1", applies, verdict) for name, applies, verdict in MORE])[:k]


def answered(model: LocalModel, questions: list[Question], calls: int) -> np.ndarray:
    """Probability of "yes" to each question, asked in so many calls."""
    out = np.zeros(len(questions))
    for part in np.array_split(np.arange(len(questions)), calls):
        chosen = [questions[i] for i in part]
        model.answer(chosen, lambda j, reply, part=part: out.__setitem__(part[j], reply.probabilities["yes"]))
    return out


def compare(model: LocalModel, texts: list[str], k: int, repeats: int) -> dict[str, Any]:
    """Seconds of the three ways, and tokens computed."""
    ask = Asking(rubrics(k), 16)
    questions = [
        ask.question(kind, criterion, ask.step(text), swapped)
        for criterion in ask.rubrics
        for text in texts
        for kind in ("topic", "verdict")
        for swapped in (False, True)
    ]
    ways: dict[str, Callable[[], np.ndarray]] = {
        "shared": lambda: answered(model, questions, 1),
        "k calls": lambda: answered(model, questions, k),
        "4k calls": lambda: answered(model, questions, 1),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    tokens, found = {}, {}
    for _ in range(repeats):
        for way, run in ways.items():
            model.share_prefix, before = way != "4k calls", model._ledger.tokens_in
            started = time.perf_counter()
            found[way] = run()
            seconds[way].append(time.perf_counter() - started)
            tokens[way] = model._ledger.tokens_in - before
    for way in ways:
        np.testing.assert_allclose(found[way], found["shared"], atol=1e-4)
    median = {way: float(np.median(values)) for way, values in seconds.items()}
    return {
        "criteria": k,
        "material_tokens": round(float(np.mean([len(model._ids(ask.step(text))) for text in texts])), 1),
        "seconds": {way: round(value, 4) for way, value in median.items()},
        "tokens_per_step": {way: round(count / len(texts), 1) for way, count in tokens.items()},
        "steps_per_second": {way: round(len(texts) / value, 1) for way, value in median.items()},
        "over k calls": round(median["k calls"] / median["shared"], 2),
        "over 4k calls": round(median["4k calls"] / median["shared"], 2),
    }


def material(task: int, number: int) -> list[str]:
    """The longest quarter of the steps of a task, with a memory of ten slots: late in episodes, where much is held."""
    config = train_judge.Config(env=f"ReasonGym-bAbI-qa{task}-v0", memory_slots=10)
    texts = [example.text for example in train_judge.collect(config, "validation", 4 * number)]
    return sorted(texts, key=len)[-number:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=16, help="steps of the environment that are judged")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=result_file, help="write the results here")
    parser.add_argument("--smoke", action="store_true", help="few steps, one repetition, a small model")
    options = parser.parse_args()
    if options.smoke:
        options.steps, options.repeats, options.hidden, options.layers = 4, 1, 32, 1
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        size = {"hidden": options.hidden, "layers": options.layers, "material": 300, "batch_size": 2, "vocabulary": 1_000}
        train_judge.train(train_judge.Config(steps=1, **size), Path(folder), say=lambda line: None)
        model = LocalModel(folder, Ledger(), batch_size=options.batch_size, device=options.device, dtype="float32")
        rows = []
        for task in (1, 2, 3):
            texts = material(task, options.steps)
            for k in (3, 8):
                rows.append({"task": task, **compare(model, texts, k, options.repeats)})
                print(json.dumps(rows[-1]), flush=True)
    result = {
        "command": " ".join(["python", "examples/bench_judge.py", *sys.argv[1:]]),
        "machine": f"{platform.machine()}, {options.device}, 1 thread, torch {torch.__version__}",
        "steps": options.steps,
        "repeats": options.repeats,
        "model": f"hidden {options.hidden}, {options.layers} layers, float32, batch of {options.batch_size} steps",
        "rows": rows,
    }
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
