"""What a policy that cannot reason reaches on held-out problems: the numbers that stand beside every agent's.

from reasongym.audit.accuracy import baselines
baselines("ReasonGym-bAbI-qa2-v0")   # {"random": Accuracy(...), "majority": ..., "last-unit": ..., "expert": ...}
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from reasongym.audit import policies
from reasongym.audit.play import make, play, sample
from reasongym.audit.policies import Policy, Situation
from reasongym.envs import ReasonGymVectorEnv
from reasongym.errors import unknown
from reasongym.metrics import wilson
from reasongym.types import ProblemSource

TRAINING_PROBLEMS = 4_000
"""Training problems that majorities are counted over, where there are more."""
EXPERT_PROBLEMS = 500
"""Held-out problems that the expert plays: it is exact, and slow."""


class Accuracy(NamedTuple):
    """Right answers among the problems played, each once."""

    right: int
    played: int

    @property
    def share(self) -> float:
        return self.right / self.played

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95% interval of the share (Wilson, 1927)."""
        return wilson(self.right, self.played)


class Training(NamedTuple):
    """What the guessing baselines know of the training problems.

    Attributes:
        majority: the most frequent gold choice (the first of equals); of spans, ABSTAIN.
        by_last_unit: the same among the problems that end with a unit, by its tokens.
    """

    majority: int
    by_last_unit: dict[tuple[int, ...], int]


class LastUnit:
    """Remembers the last unit alone: answers what training problems that end with it are mostly answered with."""

    def __init__(self, training: Training) -> None:
        self._training = training
        self._units: np.ndarray | None = None

    def __call__(self, s: Situation) -> np.ndarray:
        unit, out = s.observation["unit"], np.zeros(len(s.step), np.int64)
        before = np.zeros_like(unit) if self._units is None else self._units * (s.step > 0)[:, None]
        self._units = np.where(s.reading[:, None], unit, before)  # a new array: copies of a policy share none
        for row in np.flatnonzero(~s.reading):
            tokens = tuple(self._units[row][self._units[row] > 0].tolist())
            out[row] = s.answers + self._training.by_last_unit.get(tokens, self._training.majority)
        return out


BASELINES = ("random", "majority", "last-unit", "expert")


def baselines(
    env_id: str, *, split: str = "validation", most: int = 10_000, seed: int = 0, **keywords: Any
) -> dict[str, Accuracy]:
    """Accuracy of every baseline on an id's held-out problems.

    Args:
        env_id: a registered id.
        split: which problems.
        most: problems played where there are more (always the same draw); the expert plays at most `EXPERT_PROBLEMS`.
        seed: of the random policy.
        keywords: as for `gym.make`; the majority is that of the training split with the same keywords.
    """
    env = make(env_id, most, **with_split(env_id, split), **keywords)
    known = training(env_id, **keywords)
    return {name: measure(name, env, known, most=most, seed=seed) for name in BASELINES}


def accuracy(
    policy: str | Policy, env_id: str, *, split: str = "validation", most: int = 10_000, seed: int = 0, **keywords: Any
) -> Accuracy:
    """Accuracy of one policy, or of one baseline by name; arguments as for `baselines`."""
    env = make(env_id, most, **with_split(env_id, split), **keywords)
    known = training(env_id, **keywords) if policy not in ("random", "expert") else Training(0, {})
    return measure(policy, env, known, most=most, seed=seed)


def measure(policy: str | Policy, env: ReasonGymVectorEnv, known: Training, *, most: int, seed: int = 0) -> Accuracy:
    """Accuracy of a policy, or of a baseline by name, on at most `most` problems of an environment from `play.make`.

    Raises:
        UnknownNameError: no such baseline.
    """
    if isinstance(policy, str) and policy not in BASELINES:
        raise unknown("baseline", policy, BASELINES)
    problems = sample(env.batch.source.num_problems, min(most, EXPERT_PROBLEMS) if policy == "expert" else most)
    played = play(env, player(policy, known), problems, guess=known.majority, seed=seed)
    return Accuracy(int(played.success.sum()), len(problems))


def player(policy: str | Policy, known: Training) -> Policy:
    """The policy that a baseline's name stands for."""
    if not isinstance(policy, str):
        return policy
    if policy == "last-unit":
        return LastUnit(known)
    return {"random": policies.random, "majority": policies.answer_at_once, "expert": policies.expert}[policy]


def training(env_id: str, **keywords: Any) -> Training:
    """What the training problems of an id tell a guesser; of spans, that to abstain is the one constant answer."""
    batch = make(env_id, 1, **with_split(env_id, "train"), **keywords).batch
    if batch.shapes.span:
        return Training(2 * batch.shapes.positions, {})
    return training_of(batch.source)


def training_of(source: ProblemSource) -> Training:
    """What the problems of a source tell a guesser: at most `TRAINING_PROBLEMS` of them."""
    overall: Counter[int] = Counter()
    by_unit: dict[tuple[int, ...], Counter[int]] = {}
    for index in sample(source.num_problems, TRAINING_PROBLEMS):
        problem = source.problem(int(index))
        choice = source.choice_of(problem.answers[0])
        tokens = tuple(source.tokenize(problem.story.units[problem.num_units - 1])) if problem.num_units else ()
        overall[choice] += 1
        by_unit.setdefault(tokens, Counter())[choice] += 1
    return Training(_most_frequent(overall), {tokens: _most_frequent(counts) for tokens, counts in by_unit.items()})


def _most_frequent(counts: Counter[int]) -> int:
    return min(counts, key=lambda choice: (-counts[choice], choice))


def with_split(env_id: str, split: str) -> dict[str, str]:
    """The split as a keyword; a source that is given as an object has no splits."""
    return {"split": split} if isinstance(gym.spec(env_id).kwargs.get("dataset"), str) else {}
