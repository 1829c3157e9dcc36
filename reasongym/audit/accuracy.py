"""What a policy that cannot reason reaches on held-out problems: the numbers that stand beside every agent's.

from reasongym.audit.accuracy import baselines
baselines("ReasonGym-bAbI-qa2-v0")   # {"random": Accuracy(...), "majority": ..., "last-unit": ..., "expert": ...}
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from reasongym.audit import policies
from reasongym.audit.play import make, play, sample
from reasongym.audit.policies import Policy, Situation
from reasongym.envs import ReasonGymVectorEnv
from reasongym.errors import unknown
from reasongym.types import ProblemSource

TRAINING_PROBLEMS = 4_000
"""Training problems that the majority answer is counted over, where there are more."""
EXPERT_PROBLEMS = 500
"""Held-out problems that the expert plays: it is exact, and slow."""
Z95 = 1.959964


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
        p, n, z2 = self.share, self.played, Z95**2
        centre, half = p + z2 / (2 * n), Z95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
        return max(0.0, (centre - half) / (1 + z2 / n)), min(1.0, (centre + half) / (1 + z2 / n))


class LastUnit:
    """Reads no further back than the last unit: answers the one choice that it names, else the majority.

    A choice is named when its tokens stand in the unit, in a row.
    """

    def __init__(self, source: ProblemSource) -> None:
        self._choices = [(c, source.tokenize(choice)) for c, choice in enumerate(source.choices) if _speakable(source, choice)]
        self._last: dict[int, bytes] = {}
        self._named: dict[bytes, int] = {}

    def __call__(self, s: Situation) -> np.ndarray:
        unit = s.observation["unit"]
        for row in np.flatnonzero(s.observation["progress"][:, 2] > 0):
            self._last[int(row)] = unit[row].tobytes()
        answer = [self._answer(self._last.get(row, b""), unit.dtype, s.guess) for row in range(len(unit))]
        return np.where(s.reading, 0, s.answers + np.array(answer))

    def _answer(self, unit: bytes, dtype: np.dtype, guess: int) -> int:
        if unit not in self._named:
            tokens = np.frombuffer(unit, dtype).tolist()
            named = [c for c, words in self._choices if _stands_in(words, tokens)]
            self._named[unit] = named[0] if len(named) == 1 else -1
        return self._named[unit] if self._named[unit] >= 0 else guess


def _speakable(source: ProblemSource, choice: str) -> bool:
    try:
        return bool(source.tokenize(choice))
    except ValueError:
        return False


def _stands_in(words: list[int], tokens: list[int]) -> bool:
    return any(tokens[i : i + len(words)] == words for i in range(len(tokens) - len(words) + 1))


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
    guess = majority(env_id, **keywords)
    return {name: measure(name, env, most=most, guess=guess, seed=seed) for name in BASELINES}


def accuracy(
    policy: str | Policy, env_id: str, *, split: str = "validation", most: int = 10_000, seed: int = 0, **keywords: Any
) -> Accuracy:
    """Accuracy of one policy, or of one baseline by name; arguments as for `baselines`."""
    env = make(env_id, most, **with_split(env_id, split), **keywords)
    guess = majority(env_id, **keywords) if policy not in ("random", "expert") else 0
    return measure(policy, env, most=most, guess=guess, seed=seed)


def measure(policy: str | Policy, env: ReasonGymVectorEnv, *, most: int, guess: int, seed: int = 0) -> Accuracy:
    """Accuracy of a policy, or of a baseline by name, on at most `most` problems of an environment from `play.make`.

    Raises:
        UnknownNameError: no such baseline.
    """
    if isinstance(policy, str) and policy not in BASELINES:
        raise unknown("baseline", policy, BASELINES)
    problems = sample(env.batch.source.num_problems, min(most, EXPERT_PROBLEMS) if policy == "expert" else most)
    played = play(env, player(policy, env), problems, guess=guess, seed=seed)
    return Accuracy(int(played.success.sum()), len(problems))


def player(policy: str | Policy, env: ReasonGymVectorEnv) -> Policy:
    """The policy that a baseline's name stands for."""
    if not isinstance(policy, str):
        return policy
    if policy == "last-unit":
        return LastUnit(env.batch.source)
    return {"random": policies.random, "majority": policies.answer_at_once, "expert": policies.expert}[policy]


def majority(env_id: str, **keywords: Any) -> int:
    """The most frequent gold choice of an id's training problems (the first of equals)."""
    return majority_of(make(env_id, 1, **with_split(env_id, "train"), **keywords))


def majority_of(env: ReasonGymVectorEnv) -> int:
    """The most frequent gold choice of the problems of a source, over at most `TRAINING_PROBLEMS` of them."""
    source = env.batch.source
    problems = (source.problem(int(i)) for i in sample(source.num_problems, TRAINING_PROBLEMS))
    counts = Counter(source.choice_of(problem.answers[0]) for problem in problems)
    return min(counts, key=lambda choice: (-counts[choice], choice))


def with_split(env_id: str, split: str) -> dict[str, str]:
    """The split as a keyword; a source that is given as an object has no splits."""
    return {"split": split} if isinstance(gym.spec(env_id).kwargs.get("dataset"), str) else {}
