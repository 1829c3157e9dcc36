"""Trains the learned PRM on step labels from procedural bAbI, and says how well it finds the first error: `python
examples/train_prm.py`.

Episodes are the expert's with one planted error of a named class or none, those of a half-good policy (the expert with random
actions between), and random ones. Labels: `annotated`'s three criteria, and `correct`, judged causally. The last line printed
is one JSON object. Into --out go the PRM (a folder for `LearnedPRM.from_pretrained`), `config.json`, `metrics.jsonl` and
`result.json`. A killed run goes on with --resume.

Tested on problems of the split "test", of the tasks trained on and of others: *F1* is the harmonic mean of the shares of
episodes with an error whose first one is found, and of sound episodes in which nothing is (ProcessBench). `causal labels`
under `hindsight` is what these labels themselves score on the labels by hindsight: a reference, and no bound.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np
import torch

import reasongym
from agents.benchmark.ledger import STEP_BITS
from agents.labels import Prover, monte_carlo
from agents.provenance import commit
from reasongym.audit.collect import collect
from reasongym.audit.corruption import Planter
from reasongym.audit.policies import Policy, wandering
from reasongym.prm.annotated import AnnotatedPRM
from reasongym.prm.correctness import CausalPRM, HindsightPRM
from reasongym.prm.evaluation import calibration_error, earliest_error, first_wrong, meaning_of
from reasongym.prm.keeping import KeepingPRM
from reasongym.prm.learned import FitSettings, Fitting, LearnedPRM, Shape, StepLM, StepNetwork, vocabulary_of
from reasongym.prm.lexical import LexicalPRM
from reasongym.prm.records import StepRecord

CRITERION = "correct"
SURE = -0.9
"""The learned PRM calls a step wrong where its calibrated probability of being sound is below 5%: errors are one step in
twenty or so, and on tasks that it never saw it errs on the side of suspicion."""


@dataclass(frozen=True)
class Config:
    """The arguments of a run, as they stand in `config.json`."""

    tasks: str = "1,2,5,6,7,8,12"
    held_out: str = "3,11,13"
    max_units: int = 30  # longest text, in sentences
    planted: int = 4_000  # training episodes of a task: the expert's, with a planted error or none
    half_good: int = 1_500  # the expert's with three in ten actions random
    random: int = 500  # with eight in ten
    test_planted: int = 300  # test episodes of a task
    test_half_good: int = 150
    calibration: int = 200  # validation episodes of a task, of either kind
    keeping: int = 0  # 1: learns also what memory is worth, to be paid in the place of a utility
    completed: int = 20  # test episodes of a task that are labelled by completions
    rollouts: int = 8
    seed: int = 0
    encoder: str = ""  # path of a transformers encoder; "": words, from scratch
    language_model: str = ""  # path of a causal transformers model that reads the whole episode, instead of both (one that is
    # trained already wants a --learning-rate of 1e-5 or so)
    batch_tokens: int = 4_096  # of a language model, instead of batch_steps
    width: int = 96
    layers: int = 3
    channels: int = 16
    updates: int = 3_000
    batch_steps: int = 640
    learning_rate: float = 2e-3
    forget_names: float = 1.0
    forget_words: float = 0.3
    device: str = "cpu"
    bf16: int = 0
    threads: int = 1

    def numbers(self, held_out: bool = False) -> list[int]:
        """The tasks."""
        return [int(task) for task in (self.held_out if held_out else self.tasks).split(",") if task]


def episodes(
    config: Config, task: int, split: str, policy: Policy, first: int, count: int, labels: list[Any]
) -> list[StepRecord]:
    """Records of problems `first` ... of a task."""
    problems = np.arange(first, first + count)
    keywords = {"split": split, "difficulty": {"max_units": config.max_units}}
    return collect(f"ReasonGym-bAbI-qa{task}-v0", policy, problems, labels=labels, **keywords) if count else []


def labels_to_learn(config: Config) -> list[Any]:
    """What labels training episodes: `correct`; logic, coherence, goal; `keeping`, if asked for."""
    return [CausalPRM(), AnnotatedPRM(), *([KeepingPRM()] if config.keeping else [])]


def training_set(config: Config) -> list[StepRecord]:
    """All training episodes, labelled."""
    out: list[StepRecord] = []
    for task in config.numbers():
        first = 0
        parts: list[tuple[Policy, int]] = [
            (Planter(rate=0.6, seed=config.seed), config.planted),
            (wandering(0.3), config.half_good),
            (wandering(0.8), config.random),
        ]
        for policy, count in parts:
            out += episodes(config, task, "train", policy, first, count, labels_to_learn(config))
            first += count
    return out


def sets_of(config: Config, labels: Callable[[], list[Any]], split: str = "test") -> dict[str, list[StepRecord]]:
    """By name the test episodes, with the labels asked for; on "validation" those for calibration."""
    out: dict[str, list[StepRecord]] = {}
    planted, played = (config.test_planted, config.test_half_good) if split == "test" else (config.calibration,) * 2
    for name, tasks in (("seen", config.numbers()), ("held-out", config.numbers(held_out=True))):
        if split == "test" or name == "seen":
            for task in tasks:
                out.setdefault(f"{name}, planted", []).extend(
                    episodes(config, task, split, Planter(rate=0.5, seed=config.seed + 1), 0, planted, labels())
                )
                out.setdefault(f"{name}, played", []).extend(
                    episodes(config, task, split, wandering(0.3), planted, played, labels())
                )
    return out


Predictions = list[np.ndarray]
"""(T,) scores of each record; below a threshold: an error."""


def labels_of(records: Sequence[StepRecord]) -> Predictions:
    """(T,) labels of `correct`."""
    return [record.labels[:, record.criteria.index(CRITERION)] for record in records]


def f1(records: Sequence[StepRecord], scores: Predictions, threshold: float) -> dict[str, float]:
    """ProcessBench's F1 and its two parts; an unscored step is no objection."""
    found = earliest_error(labels_of(records), scores, threshold, unscored="right")
    return {"f1": found.f1, "erroneous": found.on_wrong, "sound": found.on_right}


def best_threshold(records: Sequence[StepRecord], scores: Predictions, slack: float = 0.01) -> float:
    """The lowest threshold whose F1 is within `slack` of the best."""
    values = np.unique(np.concatenate([s[~np.isnan(s)] for s in scores]))
    grid = np.unique(np.quantile(values, np.linspace(0, 1, 101))) if len(values) > 101 else values
    grid = np.unique([*(grid + 1e-6), *np.linspace(-0.99, 0.99, 67), -0.999, -0.998, -0.995])
    reached = [f1(records, scores, float(t))["f1"] for t in grid]
    return float(grid[np.flatnonzero(np.array(reached) >= max(reached) - slack)[0]])


def by_class(records: Sequence[StepRecord], scores: Predictions, threshold: float) -> dict[str, float]:
    """Share found of each planted class; "none": of sound episodes."""
    pairs = zip(labels_of(records), scores, strict=True)
    hit = np.array([first_wrong(label) == first_wrong(score, threshold) for label, score in pairs])
    names = np.array([record.meta["error_class"] for record in records])
    return {str(name): round(float(hit[names == name].mean()), 4) for name in np.unique(names)}


class StepType:
    """The baseline that sees only what kind of step it is: how often such steps are sound in training."""

    def __init__(self, records: Sequence[StepRecord]) -> None:
        values: dict[str, list[float]] = {}
        for record in records:
            for kind, label in zip(record.meta["kinds"], record.labels[:, record.criteria.index(CRITERION)], strict=True):
                values.setdefault(kind, []).append(float(label))
        self.means = {kind: float(np.nanmean(found)) for kind, found in values.items()}

    def __call__(self, records: Sequence[StepRecord]) -> Predictions:
        return [np.array([self.means.get(kind, 1.0) for kind in record.meta["kinds"]]) for record in records]


def lowest(records: Sequence[StepRecord]) -> Predictions:
    """The lowest label of each step over the criteria: how a PRM's own scores are read as "is there anything wrong"."""
    return [np.nanmin(np.where(np.isnan(r.labels), np.inf, r.labels), axis=1) for r in records]


def column(found: Sequence[np.ndarray], criteria: Sequence[str]) -> Predictions:
    """The scores of `correct`."""
    return [values[:, list(criteria).index(CRITERION)] for values in found]


def evaluate(config: Config, prm: LearnedPRM, training: Sequence[StepRecord], calibration: list[StepRecord]) -> dict[str, Any]:
    """Everything that is measured after training."""
    tests, hindsight = sets_of(config, lambda: [CausalPRM()]), sets_of(config, lambda: [HindsightPRM()])
    lexical, lexical_validation = (sets_of(config, lambda: [LexicalPRM()], split) for split in ("test", "validation"))
    prior = StepType(training)
    thresholds = {
        "learned": SURE,
        "learned, tuned": best_threshold(calibration, column(prm.score_records(calibration), prm.criteria)),
        "step type": best_threshold(calibration, prior(calibration), 0.0),
        "lexical": best_threshold(calibration, lowest([r for part in lexical_validation.values() for r in part]), 0.0),
    }
    out: dict[str, Any] = {"thresholds": thresholds, "sets": {}}
    for name, records in tests.items():
        scores = {"learned": column(prm.score_records(records), prm.criteria), "step type": prior(records)}
        scores["lexical"] = lowest(lexical[name])
        row: dict[str, Any] = {"episodes": len(records), "errors": sum(first_wrong(label) >= 0 for label in labels_of(records))}
        row |= {who: f1(records, scored, thresholds[who]) for who, scored in scores.items()}
        row["learned at 0"] = f1(records, scores["learned"], 0.0)
        row["learned, tuned"] = f1(records, scores["learned"], thresholds["learned, tuned"])
        row["ece"] = calibration_error(labels_of(records), scores["learned"])
        later = hindsight[name]
        row["hindsight"] = {
            "causal labels": f1(later, column([r.labels for r in records], (CRITERION,)), 0.0),
            "learned": f1(later, scores["learned"], thresholds["learned"]),
        }
        by_task = {
            task: [i for i, r in enumerate(records) if r.meta["task"] == task] for task in {r.meta["task"] for r in records}
        }
        row["by task"] = {
            task: round(f1([records[i] for i in rows], [scores["learned"][i] for i in rows], thresholds["learned"])["f1"], 4)
            for task, rows in sorted(by_task.items())
        }
        if "planted" in name:
            row["by class"] = by_class(records, scores["learned"], thresholds["learned"])
        out["sets"][name] = row
    out["completions"] = completions(config)
    return out


def completions(config: Config) -> dict[str, Any]:
    """F1 of Monte-Carlo labels as predictions, on planted errors of the tasks trained on."""
    causal: list[StepRecord] = []
    hard: Predictions = []
    for task in config.numbers():
        some = episodes(config, task, "test", Planter(rate=0.5, seed=config.seed + 1), 0, config.completed, [CausalPRM()])
        labelled = monte_carlo(
            some, Prover(0.2), rollouts=config.rollouts, split="test", difficulty={"max_units": config.max_units}
        )
        causal += some
        hard += [record.labels[:, 0] for record in labelled]
    return {"episodes": len(causal), **f1(causal, hard, 0.0), "by class": by_class(causal, hard, 0.0)}


def backbone_of(config: Config, records: Sequence[StepRecord]) -> StepNetwork | StepLM:
    """The network to be trained: a language model where one is named, else a `StepNetwork` of words or an encoder.

    Raises:
        ValueError: both a language model and an encoder are named.
    """
    criteria = len(records[0].criteria)
    if config.language_model:
        if config.encoder:
            raise ValueError("--language-model reads the whole episode and --encoder each step: name one of them")
        return StepLM(config.language_model, criteria)
    shape = Shape(width=config.width, layers=config.layers, channels=config.channels, hidden=2 * config.width)
    words = vocabulary_of(text for record in records[::5] for text in (record.prompt, *record.steps))
    return StepNetwork(words, criteria, shape, config.encoder or None)


def train(config: Config, out: Path, resume: bool) -> dict[str, Any]:
    """Trains, calibrates, evaluates; writes the run's files and returns the result."""
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    started = time.process_time()
    records = training_set(config)
    collected = time.process_time() - started
    backbone = backbone_of(config, records).to(config.device)
    settings = FitSettings(
        updates=config.updates, batch_steps=config.batch_steps, batch_tokens=config.batch_tokens,
        learning_rate=config.learning_rate, forget_names=config.forget_names, forget_words=config.forget_words,
        seed=config.seed,
    )  # fmt: skip
    trained = (backbone, records, None) if isinstance(backbone, StepLM) else (backbone.network, records, backbone.reader)
    fitting = Fitting(*trained, settings, device=config.device, bf16=bool(config.bf16))
    spent = fit_with_checkpoints(fitting, out, resume)
    labels = int(sum((~np.isnan(record.labels)).sum() for record in records))
    meta = {"tasks": config.numbers(), "max_units": config.max_units, "supervision": "step labels from annotation",
            "label_bits": round(labels * STEP_BITS, 1)}  # fmt: skip
    prm = LearnedPRM(backbone, records[0].criteria, meta=meta, label_meaning=meaning_of(records[0].criteria))
    for_calibration = sets_of(config, lambda: labels_to_learn(config), "validation")
    calibration = [record for part in for_calibration.values() for record in part]
    prm.calibrate(calibration)
    prm.save_pretrained(out)
    result = {
        "arguments": asdict(config), "version": prm.version, "commit": commit(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "reasongym": reasongym.__version__},
        "records": len(records), "cpu_seconds": {"collecting": round(collected, 1), "training": round(spent, 1)},
        "label_bits": meta["label_bits"],
        **evaluate(config, prm, records, calibration),
    }  # fmt: skip
    result["cpu_seconds"]["all, this process"] = round(time.process_time() - started, 1)
    (out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    return result


def fit_with_checkpoints(fitting: Fitting, out: Path, resume: bool, every: int = 100) -> float:
    """Trains to the end; CPU seconds of training, over all resumptions."""
    saved, metrics, before = out / "checkpoint.pt", out / "metrics.jsonl", 0.0
    if resume and saved.exists():
        state = torch.load(saved, weights_only=False)
        fitting.load(state["fitting"])
        before = state["spent"]
    else:
        metrics.write_text("")
    started, losses = time.process_time(), []
    while fitting.updates < fitting.settings.updates:
        losses.append(fitting.update())
        if fitting.updates % every == 0 or fitting.updates == fitting.settings.updates:
            spent = before + time.process_time() - started
            row = {"updates": fitting.updates, "loss": round(float(np.mean(losses)), 5), "cpu_seconds": round(spent, 1)}
            with metrics.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(json.dumps(row), file=sys.stderr, flush=True)
            losses = []
            torch.save({"fitting": fitting.state(), "spent": spent}, saved.with_suffix(".part"))
            os.replace(saved.with_suffix(".part"), saved)
    return before + time.process_time() - started


SMOKE: dict[str, Any] = {
    "tasks": "1,2", "held_out": "11", "max_units": 8, "planted": 60, "half_good": 20, "random": 10, "test_planted": 20,
    "test_half_good": 20, "calibration": 20, "completed": 3, "rollouts": 2, "updates": 20, "width": 32, "layers": 1,
    "channels": 8,
}  # fmt: skip
"""A run of seconds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for field in fields(Config):
        kind = type(field.default)
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=field.default, metavar=kind.__name__)
    parser.add_argument("--out", type=Path, help="folder of the run (default runs/prm-seedN)")
    parser.add_argument("--resume", action="store_true", help="go on from the folder's checkpoint, if there is one")
    parser.add_argument("--smoke", action="store_true", help="seconds, to see that it runs")
    options = parser.parse_args()
    config = Config(**{field.name: getattr(options, field.name) for field in fields(Config)} | (SMOKE if options.smoke else {}))
    out = options.out or Path("runs") / f"prm-seed{config.seed}"
    out.mkdir(parents=True, exist_ok=True)
    result = train(config, out, options.resume)
    who = ("learned", "step type", "lexical")
    shown = {
        name: {one: round(row[one]["f1"], 4) for one in who} | {"ece": round(row["ece"], 4)}
        for name, row in result["sets"].items()
    }
    print(json.dumps({"f1": shown, "cpu_seconds": result["cpu_seconds"], "version": result["version"]}))


if __name__ == "__main__":
    main()
