"""The PRMs that any other is to be held against: they know the labels, or nothing, or what kinds of steps usually are.

`oracle`, `always-yes`, `always-no`, `random`, `step-type prior`. All have one criterion, `correct`, and say `any_criterion`:
where the bench tests one criterion, they are shown its labels alone, and their score is of this one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from reasongym.prm.base import ACTION_NAMES
from reasongym.prm.records import CORRECT, StepRecord
from reasongym.seeding import hash64, rng

_COMMAND = re.compile(
    r"\s*(?:question: .*? )?(?:action: )?"
    rf"(?:({'|'.join(ACTION_NAMES)})(?=$|:|\s+\S)|(pass over|note|add)(?= nothing| \d+:)"
    r"|(begin an answer|reply without command))"
)
"""How a step of an episode begins; it is written small, so the "Next, ..." of prose is none."""
_NO_EFFECT = ("(no effect)", "(illegal)")
_CONCLUSION = re.compile(
    r"\s*(?:so|therefore|thus|hence|finally|in conclusion|this means|that means|the answer)\b", re.IGNORECASE
)


def worst(values: np.ndarray) -> np.ndarray:
    """(T,) the least of the (T, k) labels or scores of a step, unscored ones left out: a step wrong on one count is wrong."""
    return np.fmin.reduce(values, axis=1)


class Oracle:
    """Says of every step what its label says: 1, or -1 where the label is below 0."""

    criteria: tuple[str, ...] = (CORRECT,)
    any_criterion = True
    version, needs_annotation = "oracle-1", True

    def score_records(self, records: Sequence[StepRecord]) -> list[np.ndarray]:
        """(T, 1) each, 1 or -1."""
        return [np.where(worst(record.labels) < 0, -1, 1).astype(np.float32)[:, None] for record in records]


class Always:
    """Says the same of every step.

    Args:
        score: in [-1, 1].
    """

    criteria: tuple[str, ...] = (CORRECT,)
    any_criterion = True

    def __init__(self, score: float) -> None:
        self.score, self.version = float(score), f"always({score:g})"

    def score_records(self, records: Sequence[StepRecord]) -> list[np.ndarray]:
        """(T, 1) each."""
        return [np.full((len(record), 1), self.score, np.float32) for record in records]


class Random:
    """Scores drawn evenly from [-1, 1]: a pure function of the seed, the prompt and the steps so far.

    Args:
        seed: of the draws.
    """

    criteria: tuple[str, ...] = (CORRECT,)
    any_criterion = True

    def __init__(self, seed: int = 0) -> None:
        self.seed, self.version = seed, f"random-1(seed={seed})"

    def score_records(self, records: Sequence[StepRecord]) -> list[np.ndarray]:
        """(T, 1) each."""
        out = []
        for record in records:
            past, draws = record.prompt, []
            for step in record.steps:
                past = f"{hash64(past)} {step}"
                draws.append(rng(self.seed, hash64(past)).uniform(-1, 1))
            out.append(np.array(draws, np.float32)[:, None])
        return out


def step_kind(record: StepRecord, t: int) -> str:
    """The kind of a step, from its text alone: the command it begins with, or conclusion, equation, or statement.

    `meta["step_kinds"]`, a list of T names, overrules the text.
    """
    told = record.meta.get("step_kinds")
    if told is not None:
        return str(told[t])
    text = record.steps[t]
    command = _COMMAND.match(text)
    if command:
        return command.group(command.lastindex or 0) + (", no effect" if text.rstrip().endswith(_NO_EFFECT) else "")
    if _CONCLUSION.match(text):
        return "conclusion"
    return "equation" if "=" in text else "statement"


class StepTypePrior:
    """What is known of a step from its kind alone: the share of right steps among the labelled ones of that kind.

    It scores nothing by itself: `fit` gives the scorer. The bench fits it on other problems than those that it is tested on.
    """

    def fit(self, records: Sequence[StepRecord]) -> FittedPrior:
        """The prior of these records."""
        right: Counter[str] = Counter()
        total: Counter[str] = Counter()
        for record in records:
            for t, label in enumerate(worst(record.labels)):
                if not np.isnan(label):
                    kind = step_kind(record, t)
                    total[kind] += 1
                    right[kind] += int(label >= 0)
        share = (sum(right.values()) + 1) / (sum(total.values()) + 2)
        return FittedPrior({kind: (right[kind] + share) / (total[kind] + 1) for kind in sorted(total)}, share)


class FittedPrior:
    """2p - 1 by kind of step.

    Args:
        shares: p by kind, of being right.
        other: p of a kind that was never seen.
    """

    criteria: tuple[str, ...] = (CORRECT,)
    any_criterion = True

    def __init__(self, shares: Mapping[str, float], other: float) -> None:
        self.shares, self.other = dict(shares), other
        kinds = ", ".join(f"{kind}={share:.4f}" for kind, share in self.shares.items())
        self.version = f"step-type-prior-1({kinds})"

    def score_records(self, records: Sequence[StepRecord]) -> list[np.ndarray]:
        """(T, 1) each."""
        return [
            np.array([[2 * self.shares.get(step_kind(record, t), self.other) - 1] for t in range(len(record))], np.float32)
            for record in records
        ]
