"""A reward tree with dynamic selection against one flat rubric: the same scorer, the same weights, no more calls.

    python examples/compare_tree.py --json examples/results/compare_tree.json

Experts' episodes with planted errors, as step records, from three domains: procedural bAbI (tasks 1, 2, 5, 6, 7, 8, 12),
procedural SQuAD, procedural tales. For each domain one `ConditionedScorer` is trained on (step, criterion in words), with three
of each criterion's six wordings, and with three of six of a general one ("the step is right"); and one tree is grown from
pairs (sound episode, erroneous episode of the same problem) by the rule judge, in the three wordings that the scorer
has never seen. Then:

| arm | criteria of a step | its value |
| --- | --- | --- |
| tree | dynamic selection, at most `--budget` | minimum over coarse criteria |
| flat rubric | `--budget` unseen wordings of the general criterion, at every step | mean |
| flat, one call | one of these wordings | it |
| flat criteria | the `--budget` most named of the tree, at every step | minimum |
| no selection | all of the tree | minimum |
| random selection | as many of the tree as the dynamic selection takes | minimum |
| mu = 0 | dynamic selection, no earlier step read; a scorer of its own, trained so | minimum |
| scalar sum | dynamic selection | mean |

A record's predicted error is the first step with a value below a threshold. Reported: earliest-error F1 (harmonic mean of the
accuracy on erroneous and on sound records) on unseen problems of every domain and on held-out bAbI tasks (3, 11, 13), and the
difference of each arm from the tree with its 95% interval (paired bootstrap over records, all seeds of a record together).
Both are computed twice: with the threshold *carried* over from validation records of the domain that was trained on, and with
one *fitted* on as many validation records of the domain that is tested, which takes one number from there and trains nothing.

`--judge URL --model NAME` puts a language model behind an OpenAI-compatible server in place of the rules: it names what differs
between the episodes of a pair, and reads the aspects of every step (one call each; needs the extra `llm`). `--judge-scores`
makes it the scorer of all arms, too: nothing is trained then.

All this asks for a scorer that heeds the criterion it is asked about. *Sensitivity* says whether it does: at planted errors,
how often the criterion that is broken scores below another that is not (0.5: it heeds none), in wordings it has never seen.

The errors that a span answer can show are four of seven classes, so SQuAD and tales have these four alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

import numpy as np

import reasongym  # noqa: F401
from agents.provenance import result_file
from reasongym.audit.collect import collect
from reasongym.audit.corruption import ERROR_CLASSES, RECALL_CLASSES, Planter
from reasongym.prm.judge import LanguageModel
from reasongym.prm.records import StepRecord
from reasongym.prm.tree import (
    AllCriteria,
    AspectReader,
    Coarse,
    ConditionedScorer,
    ConditionedSettings,
    Context,
    CriterionScorer,
    DynamicSelection,
    Example,
    Fine,
    FixedSelection,
    HashedEmbedder,
    JudgeCriterionScorer,
    JudgedAspects,
    JudgedDiffer,
    RandomSelection,
    RelationAspects,
    RewardTree,
    RuleDiffer,
    Thresholds,
    TreePRM,
    choose_thresholds,
    contexts_of,
    empty_tree,
    examples_of,
    grow,
    labelled_criteria,
    raw_criteria,
)
from reasongym.seeding import rng

TRAINED_TASKS, HELD_OUT_TASKS = (1, 2, 5, 6, 7, 8, 12), (3, 11, 13)
DOMAINS = {
    "bAbI": ("ReasonGym-bAbI-v0", ERROR_CLASSES),
    "SQuAD": ("ReasonGym-SQuAD2-v0", RECALL_CLASSES),
    "tales": ("ReasonGym-NarrativeQA-v0", RECALL_CLASSES),
}
HELD_OUT = "bAbI, held-out tasks"
CRITERIA = tuple(name.replace(" ", "_") for name in ERROR_CLASSES)
GENERAL = (
    "The step is right.",
    "Nothing is wrong with the step.",
    "The step is correct.",
    "There is no error in the step.",
    "The step is free of mistakes.",
    "It is a sound step.",
)
WORDINGS_TRAINED = 3
CLASHES = ({"contradiction", "unsupported_answer", "premature_answer"}, {"stale_fact", "irrelevant_fact"})
"""Criteria that one error may break together: the others of its set are left unscored at its step."""
THRESHOLDS = ("carried", "fitted")
"""Whose validation records the threshold is from: of the domain that was trained on, or of the tested one."""
ARMS = ("tree", "flat rubric", "flat, one call", "flat criteria", "no selection", "random selection", "mu = 0", "scalar sum")
MEANS = ("flat rubric", "scalar sum")


@dataclass(frozen=True)
class Sizes:
    """How many records, and how long is trained."""

    train: int = 1200
    pairs: int = 200
    validation: int = 300
    test: int = 300
    epochs: int = 6
    seeds: int = 2
    resamples: int = 2000


SMOKE = Sizes(train=8, pairs=4, validation=4, test=3, epochs=1, seeds=1, resamples=50)


class Remembered:
    """A scorer that scores no pair twice, so that all arms see the same scores and the whole table costs one pass."""

    def __init__(self, scorer: CriterionScorer) -> None:
        self._scorer, self.version = scorer, scorer.version
        self._known: dict[tuple[Context, str], float] = {}

    def score(self, contexts: Sequence[Context], criteria: Sequence[str]) -> np.ndarray:
        """(n,) scores."""
        pairs = list(zip(contexts, criteria, strict=True))
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self._known]
        if new:
            scores = self._scorer.score([context for context, _ in new], [criterion for _, criterion in new])
            self._known.update(zip(new, scores.tolist(), strict=True))
        return np.array([self._known[pair] for pair in pairs], np.float32)


def problems(domain: str, count: int, tasks: Sequence[int] = TRAINED_TASKS, start: int = 0) -> np.ndarray:
    """Indices of `count` problems; of bAbI's joint id, problem i is of task i mod 20 + 1."""
    if domain != "bAbI":
        return np.arange(start, start + count)
    rounds = -(-count // len(tasks))
    return np.array([20 * (start + r) + task - 1 for r in range(rounds) for task in tasks])[:count]


def play(domain: str, which: np.ndarray, split: str, rate: float, seed: int = 0) -> list[StepRecord]:
    """Experts' episodes of these problems with errors planted at this rate, labelled by criterion."""
    env_id, classes = DOMAINS[domain]
    return [labelled(record) for record in collect(env_id, Planter(classes, rate=rate, seed=seed), which, split=split)]


def labelled(record: StepRecord) -> StepRecord:
    """1 up to the planted error; there -1 on the criterion that it breaks, nothing on those that it may; nothing after it."""
    labels = np.ones((len(record.steps), len(CRITERIA) + 1), np.float32)
    at = int(record.meta["error_step"])
    if at >= 0:
        broken = str(record.meta["error_class"]).replace(" ", "_")
        for name in next((clash for clash in CLASHES if broken in clash), ()):
            labels[at, CRITERIA.index(name)] = np.nan
        labels[at, CRITERIA.index(broken)] = labels[at, -1] = -1
        labels[at + 1 :] = np.nan
    return replace(record, criteria=(*CRITERIA, "general"), labels=labels)


def wordings(held_out: bool) -> dict[str, tuple[str, ...]]:
    """Of every criterion the wordings that the scorer trains on, or the others."""
    known = {c.name: c.wordings for c in labelled_criteria() if c.name in CRITERIA} | {"general": GENERAL}
    return {name: texts[WORDINGS_TRAINED:] if held_out else texts[:WORDINGS_TRAINED] for name, texts in known.items()}


def training_examples(records: Sequence[StepRecord], mu: int, seed: int) -> list[Example]:
    """All that errors say, and of the sound steps' labels a share that does not swamp them (reading steps less than others)."""
    texts, out = wordings(held_out=False), []
    for i, record in enumerate(records):
        draw = rng(seed, 1, i)
        reading = np.isin(np.array(record.meta["kinds"]), ("next", "store", "update"))
        keep = np.where(reading, 0.02, 0.35)[:, None] * np.where(np.arange(len(CRITERIA) + 1) == len(CRITERIA), 3, 1)
        at = int(record.meta["error_step"])
        if at >= 0:
            keep[at] = 1
        labels = np.where(draw.random(record.labels.shape) < keep, record.labels, np.nan)
        out += examples_of(contexts_of(record, mu), record.criteria, labels, texts, seed=seed * 1_000_003 + i)
    return out


@dataclass(frozen=True)
class Judged:
    """A language model that names criteria and aspects, and scores where `scores` is set."""

    model: LanguageModel
    scores: bool


def grown(
    domain: str, count: int, embedder: HashedEmbedder, thresholds: Thresholds, judge: Judged | None
) -> tuple[RewardTree, int]:
    """The domain's tree, in wordings that the scorer has not seen, and how many raw criteria made it."""
    which = problems(domain, count, start=50_000 // 20 if domain == "bAbI" else 50_000)
    sound, wrong = (play(domain, which, "train", rate, seed=7) for rate in (0.0, 1.0))
    pairs = [(a, b) for a, b in zip(sound, wrong, strict=True) if b.meta["error_class"] != "none"]
    hidden = wordings(held_out=True)
    known = [replace(c, wordings=hidden[c.name]) for c in labelled_criteria() if c.name in hidden]
    raw = raw_criteria(JudgedDiffer(judge.model.complete, on_failure="skip") if judge else RuleDiffer(known), pairs)
    return grow(empty_tree(embedder, thresholds), raw.criteria, embedder), len(raw.criteria)


def arms(
    tree: RewardTree,
    scorers: Mapping[int, Remembered],
    embedder: HashedEmbedder,
    aspects: AspectReader,
    mu: int,
    budget: int,
    seed: int,
) -> dict[str, TreePRM]:
    """Every arm as a PRM; `scorers` by how many earlier steps they were trained to read."""
    scorer = scorers[mu]
    dynamic = DynamicSelection(embedder, aspects, mu=mu, budget=budget)
    general = [Coarse(f"general_{i}", (Fine(f"g{i}", text, {text: 1}),)) for i, text in enumerate(GENERAL[WORDINGS_TRAINED:])]
    flat, one = (RewardTree(tuple(general[:most]), tree.thresholds, tree.embedder) for most in (budget, 1))
    return {
        "tree": TreePRM(tree, scorer, dynamic, mu=mu),
        "flat rubric": TreePRM(flat, scorer, AllCriteria(), mu=mu),
        "flat, one call": TreePRM(one, scorer, AllCriteria(), mu=mu),
        "flat criteria": TreePRM(tree, scorer, FixedSelection(budget=min(budget, len(tree.fine))), mu=mu),
        "no selection": TreePRM(tree, scorer, AllCriteria(), mu=mu),
        "random selection": TreePRM(tree, scorer, RandomSelection(dynamic, seed=seed), mu=mu),
        "mu = 0": TreePRM(tree, scorers[0], DynamicSelection(embedder, aspects, mu=0, budget=budget), mu=0),
        "scalar sum": TreePRM(tree, scorer, dynamic, mu=mu),
    }


def step_values(name: str, prm: TreePRM, records: Sequence[StepRecord]) -> list[np.ndarray]:
    """(T,) value of every step."""
    reduce = np.nanmean if name in MEANS else np.nanmin
    return [reduce(scores, axis=1) for scores in prm.score_records(records)]


def first_below(values: Sequence[np.ndarray], threshold: float) -> np.ndarray:
    """(R,) index of each record's first step with a value below the threshold, -1 where there is none."""
    below = [np.flatnonzero(steps < threshold) for steps in values]
    return np.array([found[0] if len(found) else -1 for found in below])


def f1(right: np.ndarray, wrong_records: np.ndarray) -> float:
    """Harmonic mean of the accuracies on erroneous and on sound records, in percent; `right` is (..., R) bool."""
    on_wrong, on_sound = right[..., wrong_records].mean(), right[..., ~wrong_records].mean()
    return 200 * on_wrong * on_sound / max(on_wrong + on_sound, 1e-9)


def threshold_for(values: Sequence[np.ndarray], truth: np.ndarray) -> float:
    """The threshold with the best F1, among quantiles of the values."""
    candidates = np.unique(
        np.quantile(np.concatenate(values), np.concatenate([np.linspace(0, 0.3, 121), np.linspace(0.3, 1, 15)]))
    )
    return float(max(candidates, key=lambda x: f1(first_below(values, x) == truth, truth >= 0)))


def difference(tree: np.ndarray, other: np.ndarray, truth: np.ndarray, resamples: int) -> dict[str, float]:
    """F1 of the tree minus that of another arm, from (seeds, R) predictions, with the 95% interval over records."""
    draw, hit, miss = rng(11), tree == truth, other == truth
    found = []
    for _ in range(resamples):
        rows = draw.integers(0, len(truth), len(truth))
        wrong = truth[rows] >= 0
        if wrong.any() and not wrong.all():
            found.append(f1(hit[:, rows], wrong) - f1(miss[:, rows], wrong))
    low, high = np.percentile(found, [2.5, 97.5])
    wrong = truth >= 0
    return {
        "difference": round(f1(hit, wrong) - f1(miss, wrong), 2),
        "low": round(float(low), 2),
        "high": round(float(high), 2),
    }


@dataclass(frozen=True)
class TestSet:
    """Records of one domain: to test on, and to fit a threshold on."""

    records: list[StepRecord]
    validation: list[StepRecord]


def test_sets(sizes: Sizes, names: Sequence[str]) -> dict[str, TestSet]:
    """Domains, and the held-out tasks of bAbI, by name; half of the records with an error."""

    def of(domain: str, tasks: Sequence[int] = TRAINED_TASKS) -> TestSet:
        test, validation = (problems(domain, count, tasks) for count in (sizes.test, sizes.validation))
        return TestSet(play(domain, test, "test", rate=0.5), play(domain, validation, "validation", rate=0.5))

    return {name: of("bAbI", HELD_OUT_TASKS) if name == HELD_OUT else of(name) for name in names}


def truth_of(records: Sequence[StepRecord]) -> np.ndarray:
    """(R,) index of each record's planted error, -1 where there is none."""
    return np.array([int(record.meta["error_step"]) for record in records])


def row(
    domain: str, tests: Mapping[str, TestSet], sizes: Sizes, mu: int, budget: int, judge: Judged | None = None
) -> dict[str, Any]:
    """Everything that is trained on one domain, tested on all."""
    embedder = HashedEmbedder()
    thresholds = choose_thresholds(embedder).thresholds
    aspects: AspectReader = RelationAspects()
    if judge:
        aspects = JudgedAspects(judge.model.complete, on_unknown="drop", fallback=RelationAspects())
    tree, raw = grown(domain, sizes.pairs, embedder, thresholds, judge)
    train = play(domain, problems(domain, sizes.train), "train", rate=0.7)
    predictions: dict[tuple[str, str, str], list[np.ndarray]] = {}
    calls: dict[str, float] = {}
    told: dict[str, Any] = {"losses": []}
    heeded: dict[str, list[float]] = {}
    contexts = [context for record in tests[domain].validation for context in contexts_of(record, mu)]
    for seed in range(sizes.seeds):
        scorers = {}
        for read in dict.fromkeys((mu, 0)):
            if judge and judge.scores:
                scorers[read] = Remembered(JudgeCriterionScorer(judge.model))
                continue
            scorer = ConditionedScorer(embedder, ConditionedSettings(epochs=sizes.epochs, mu=read), seed=seed)
            examples = training_examples(train, read, seed)
            told["examples"] = len(examples)
            told["losses"].append([round(loss, 5) for loss in scorer.fit(examples)])
            scorers[read] = Remembered(scorer)
        for test, of in tests.items():
            heeded.setdefault(test, []).append(sensitivity(scorers[mu], of.records, mu))
        for name, prm in arms(tree, scorers, embedder, aspects, mu, budget, seed).items():
            calls[name] = round(float((prm.selector.select(prm.tree, contexts).fine >= 0).sum() / len(contexts)), 3)
            fitted = {
                test: threshold_for(step_values(name, prm, of.validation), truth_of(of.validation))
                for test, of in tests.items()
            }
            for test, of in tests.items():
                values = step_values(name, prm, of.records)
                for kind, cut in zip(THRESHOLDS, (fitted[domain], fitted[test]), strict=True):
                    predictions.setdefault((test, kind, name), []).append(first_below(values, cut))
    columns: dict[str, Any] = {}
    for test, of in tests.items():
        truth = truth_of(of.records)
        for kind in THRESHOLDS:
            found = {name: np.stack(predictions[test, kind, name]) for name in ARMS}
            columns.setdefault(test, {})[kind] = {
                name: {"f1": round(f1(found[name] == truth, truth >= 0), 2), "of_seeds": of_seeds(found[name], truth)}
                | (
                    {}
                    if name == "tree"
                    else {"tree_minus_this": difference(found["tree"], found[name], truth, sizes.resamples)}
                )
                for name in ARMS
            }
    shape = {"coarse": len(tree.coarse), "fine": len(tree.fine), "raw_criteria": raw, "version": tree.version}
    return {"tree": shape, "scorer": told, "sensitivity": heeded, "calls_per_step": calls, "tests": columns}


def sensitivity(scorer: Remembered, records: Sequence[StepRecord], mu: int) -> float:
    """How often, at a planted error, the broken criterion scores below one that is met (a tie counts half), unseen wordings."""
    hidden = wordings(held_out=True)
    contexts, texts, pairs = [], [], []
    for record in records:
        at = int(record.meta["error_step"])
        if at < 0:
            continue
        context = contexts_of(record, mu)[at]
        broken = [name for name, label in zip(CRITERIA, record.labels[at], strict=False) if label < 0]
        met = [name for name, label in zip(CRITERIA, record.labels[at], strict=False) if label > 0]
        for name in (*broken, *met):
            contexts.append(context)
            texts.append(hidden[name][0])
        first = len(texts) - len(broken) - len(met)
        pairs += [(first, first + 1 + i) for i in range(len(met))]
    if not pairs:
        raise ValueError(f"no planted error to compare among {len(records)} test records: raise --test")
    scores = scorer.score(contexts, texts)
    lower, higher = scores[np.array(pairs).T]
    return round(float((lower < higher).mean() + 0.5 * (lower == higher).mean()), 3)


def of_seeds(predicted: np.ndarray, truth: np.ndarray) -> list[float]:
    """F1 of each seed by itself, from (seeds, R) predictions."""
    return [round(f1(one == truth, truth >= 0), 2) for one in predicted]


def table(result: Mapping[str, Any], kind: str) -> str:
    """The result with this threshold as a Markdown table: F1, and the tree's lead with its interval."""
    tests = list(next(iter(result["rows"].values()))["tests"])
    lines = ["| trained on | arm | calls | " + " | ".join(tests) + " |", "| --- " * (3 + len(tests)) + "|"]
    for domain, found in result["rows"].items():
        for arm in ARMS:
            cells = []
            for test in tests:
                cell = found["tests"][test][kind][arm]
                lead = cell.get("tree_minus_this")
                cells.append(
                    f"{cell['f1']:.1f}"
                    + (f" ({lead['difference']:+.1f}: {lead['low']:+.1f} … {lead['high']:+.1f})" if lead else "")
                )
            lines.append(f"| {domain} | {arm} | {found['calls_per_step'][arm]:.1f} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=result_file, help="where the result goes")
    parser.add_argument("--mu", type=int, default=2, help="earlier steps that selection and scorer read")
    parser.add_argument("--budget", type=int, default=3, help="most criteria a step")
    parser.add_argument("--train-on", nargs="*", choices=list(DOMAINS), default=list(DOMAINS), help="rows of the table")
    tested = ["bAbI", HELD_OUT, *(domain for domain in DOMAINS if domain != "bAbI")]
    parser.add_argument("--test-on", nargs="*", choices=tested, default=tested, help="columns, beside those trained on")
    for name, value in vars(Sizes()).items():
        parser.add_argument(f"--{name}", type=int, help=f"see Sizes; default {value}")
    parser.add_argument(
        "--smoke", action="store_true", help="a few records and one epoch: shows that it runs, not what it finds"
    )
    parser.add_argument("--judge", metavar="URL", help="an OpenAI-compatible server, usually ending in /v1")
    parser.add_argument("--model", default="", help="the judge's model, as its server knows it")
    parser.add_argument("--judge-scores", action="store_true", help="it is the scorer of all arms, too")
    parser.add_argument("--judge-cache", metavar="FOLDER", help="where the judge's replies are kept")
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    given = {name: getattr(arguments, name) for name in vars(SMOKE) if getattr(arguments, name) is not None}
    sizes = replace(SMOKE if arguments.smoke else Sizes(), **given)
    judge = None
    if arguments.judge:
        model = LanguageModel(arguments.model, url=arguments.judge, cache=arguments.judge_cache)
        judge = Judged(model, arguments.judge_scores)
    elif arguments.judge_scores:
        parser.error("--judge-scores needs --judge URL")
    started = time.process_time()
    tests = test_sets(sizes, [name for name in tested if name in {*arguments.test_on, *arguments.train_on}])
    result: dict[str, Any] = {
        "sizes": vars(sizes),
        "mu": arguments.mu,
        "budget": arguments.budget,
        "judge": arguments.judge and {"model": arguments.model, "scores": arguments.judge_scores},
        "machine": f"{platform.processor() or platform.machine()}, 1 thread",
        "rows": {},
    }
    for domain in arguments.train_on:
        result["rows"][domain] = row(domain, tests, sizes, arguments.mu, arguments.budget, judge)
        result["cpu_seconds"] = round(time.process_time() - started, 1)
        if arguments.json:
            arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for domain, found in result["rows"].items():
        print(f"Sensitivity, trained on {domain}: {found['sensitivity']}")
    for kind in THRESHOLDS:
        print(f"Threshold {kind}:\n\n{table(result, kind)}\n")
    print(f"{result['cpu_seconds']} CPU seconds")


if __name__ == "__main__":
    main()
