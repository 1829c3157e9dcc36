"""Plays a policy once over each problem of a list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from reasongym.audit.policies import Situation
from reasongym.audit.written import arrays
from reasongym.envs import ReasonGymVectorEnv
from reasongym.seeding import rng
from reasongym.text.vector import ReasonGymTextVectorEnv

NUM_ENVS = 512
"""Environments played side by side; no result depends on it."""


class Episodes(NamedTuple):
    """One episode a problem, in the order of the problems (P,).

    Attributes:
        total: the undiscounted return.
        outcome: the part of it that the answer earned (the outcome term).
        success: whether the answer was right.
        length: steps.
    """

    total: np.ndarray
    outcome: np.ndarray
    success: np.ndarray
    length: np.ndarray

    @property
    def process(self) -> np.ndarray:
        """The return without the outcome term."""
        return self.total - self.outcome


def make(env_id: str, num_problems: int = NUM_ENVS, /, **keywords: Any) -> Any:
    """Environments for `play`, by number or in words, not more than there are problems.

    Args:
        env_id: a ReasonGym id.
        num_problems: how many are to be played.
        keywords: of the environments, whose own `num_problems` is another thing.

    Raises:
        TypeError: an id of another package.
    """
    num_envs = max(1, min(NUM_ENVS, num_problems))
    env = gym.make_vec(
        env_id, num_envs=num_envs, vectorization_mode="vector_entry_point", autoreset_mode="Disabled", **keywords
    )
    if not isinstance(env, (ReasonGymVectorEnv, ReasonGymTextVectorEnv)):
        raise TypeError(f"{env_id!r} is no ReasonGym id: it made {type(env).__name__}")
    return env


def play(env: Any, policy: Callable[[Situation], Any], problems: np.ndarray, *, guess: int = 0, seed: int = 0) -> Episodes:
    """Plays each problem once.

    Args:
        env: from `make`.
        policy: decides; see `policies`, and `written` for environments in words.
        problems: (P,) indices, P at least 1.
        guess: the choice that guessing policies answer with.
        seed: of random policies.
    """
    n, count = env.num_envs, len(problems)
    out = Episodes(np.zeros(count), np.zeros(count), np.zeros(count, bool), np.zeros(count, np.int64))
    place = np.arange(n)  # where in `problems` each environment is; `count` or more: it has nothing left to do
    step, total, outcome = np.zeros(n, np.int64), np.zeros(n), np.zeros(n)
    waiting = n
    observation, _ = env.reset(seed=seed, options={"problem": problems[place % count]})
    while (place < count).any():
        actions = policy(Situation(env, arrays(env, observation), problems[place % count], step, guess, seed))
        observation, reward, ended, _, info = env.step(actions)
        step += 1
        total += reward
        outcome += info["reward_terms"]["outcome"]
        if not ended.any():
            continue
        rows = np.flatnonzero(ended & (place < count))
        here = place[rows]
        out.total[here], out.outcome[here], out.length[here] = total[rows], outcome[rows], step[rows]
        out.success[here] = info["is_success"][rows]
        rows = np.flatnonzero(ended)
        place[rows] = np.arange(waiting, waiting + len(rows))
        waiting += len(rows)
        step[rows], total[rows], outcome[rows] = 0, 0.0, 0.0
        observation, _ = env.reset(options={"reset_mask": ended, "problem": np.where(ended, problems[place % count], -1)})
    return out


def sample(num_problems: int | None, most: int) -> np.ndarray:
    """Indices of at most `most` problems of a source, in order: all where there are no more, else always the same draw."""
    if num_problems is None or num_problems <= most:
        return np.arange(num_problems or most)
    return np.sort(rng(0).choice(num_problems, most, replace=False))
