"""Agents that follow a rule: random, majority answer, last unit, keeping by rule (`keeping`), and the expert.

What they learn is a table: counts over training problems and their answers. Each is deterministic in what it is shown, whatever
else is played beside it.

Axes: N environments, L tokens.
"""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from agents.base import Observation, check_spaces
from agents.baselines.keeping import KEEPERS, Answers, Keeper
from agents.budget import Budget, Progress
from reasongym.adapters.sb3 import ReasonGymVecEnv
from reasongym.audit import policies
from reasongym.audit.accuracy import TRAINING_PROBLEMS, LastUnit, Training, training_of
from reasongym.audit.play import sample
from reasongym.audit.policies import Policy, Situation
from reasongym.audit.readers import Rarity
from reasongym.errors import unknown

RULES = ("random", "majority", "last-unit", *KEEPERS, "expert")
"""The rules by name."""


class Tables(NamedTuple):
    """What rules know of the training problems; None before `learn`."""

    training: Training | None = None
    rarity: Rarity | None = None
    answers: Answers | None = None


class Playing(NamedTuple):
    """State of N episodes.

    Attributes:
        policy: of these episodes (it may remember).
        key: (N,) int64, hash of the first observation: what a rule's random numbers depend on.
        step: (N,) int64.
    """

    policy: Policy
    key: np.ndarray
    step: np.ndarray


class Rule:
    """An agent that follows a rule.

    Args:
        env: the training environments.
        seed: of its random numbers.
        rule: one of `RULES`.
        device: not used.

    Raises:
        UnknownNameError: no such rule.
        TypeError: environments of another package.
    """

    reads_rewards = False

    def __init__(self, env: VecEnv, seed: int = 0, rule: str = "random", device: str = "cpu") -> None:
        if rule not in RULES:
            raise unknown("rule", rule, RULES)
        inner: Any = env.unwrapped
        if not isinstance(inner, ReasonGymVecEnv):
            raise TypeError(f"rules play ReasonGym ids (reasongym.adapters.sb3.make_vec_env), got {type(inner).__name__}")
        self.rule, self.seed, self.supervision = rule, seed, SUPERVISION.get(rule, "answers")
        self.observation_space, self.action_space = env.observation_space, env.action_space
        self.ledger: dict[str, float] = {}
        self._source: Any = inner.batch.source
        self._positions = inner.batch.shapes.positions if inner.batch.shapes.span else 0
        self._tables = Tables()
        self._env: Any = None

    def attach(self, env: ReasonGymVecEnv) -> None:
        """The environments about to be played: only the expert reads them."""
        self._env = env.vector if self.rule == "expert" else None

    def learn(self, total_timesteps: int, *, seconds: float | None = None, progress: Progress | None = None) -> Rule:
        """Counts over training problems: `audit.accuracy.TRAINING_PROBLEMS` of them, whatever the budget; none if that is 0."""
        budget = Budget(total_timesteps, seconds, progress)
        if budget.over or self.rule in ("random", "expert"):
            return self
        training = Training(2 * self._positions, {}) if self._positions else training_of(self._source)
        if not self._positions:
            self.ledger["answers"] = float(len(sample(self._source.num_problems, TRAINING_PROBLEMS)))
        rarity = answers = None
        if self.rule in KEEPERS:
            rarity = Rarity(self._source)
            answers = None if self._positions else Answers(self._source, rarity, training.majority)
        self._tables = Tables(training, rarity, answers)
        budget.spend(0)
        return self

    def _policy(self) -> Policy:
        """The rule as a policy of episodes that begin."""
        known = self._tables
        if self.rule in ("random", "expert"):
            return policies.random if self.rule == "random" else policies.expert
        if known.training is None:
            raise RuntimeError(f"the rule {self.rule!r} needs the training problems: call learn() before act()")
        if self.rule == "majority":
            return policies.answer_at_once
        if self.rule == "last-unit":
            return LastUnit(known.training)
        assert known.rarity is not None
        return Keeper(known.rarity, self.rule, known.answers)

    def act(
        self,
        observation: Observation,
        state: Playing | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Playing]:
        n = len(observation["unit"])
        if self.rule == "expert" and (self._env is None or self._env.num_envs != n):
            raise RuntimeError(f"the expert reads support and gold: attach() the {n} environments that it acts in before act()")
        if state is None:
            state = Playing(self._policy(), np.zeros(n, np.int64), np.zeros(n, np.int64))
            episode_start = np.ones(n, bool) if episode_start is None else episode_start
        begin = np.zeros(n, bool) if episode_start is None else np.asarray(episode_start, bool)
        key = np.where(begin, hashed(observation), state.key)
        step = np.where(begin, 0, state.step)
        guess = self._tables.training.majority if self._tables.training else 0
        policy = copy.copy(state.policy)  # what it remembers is part of the state, which is not to change
        actions = policy(Situation(self._env, observation, key, step, guess, self.seed))
        return np.asarray(actions, np.int64), Playing(policy, key, step + 1)

    def save(self, path: Any) -> None:
        spaces = (self.observation_space, self.action_space)
        record = {"rule": self.rule, "seed": self.seed, "spaces": spaces, "positions": self._positions, "tables": self._tables}
        Path(path).write_bytes(pickle.dumps(record))

    @classmethod
    def load(cls, path: Any, env: VecEnv | None = None, device: str = "cpu") -> Rule:
        record = pickle.loads(Path(path).read_bytes())
        agent = cls.__new__(cls)
        agent.rule, agent.seed, agent._tables = record["rule"], record["seed"], record["tables"]
        agent.observation_space, agent.action_space = record["spaces"]
        agent.supervision, agent.ledger = SUPERVISION.get(agent.rule, "answers"), {}
        agent._positions, agent._source, agent._env = record["positions"], None, None
        if env is not None:
            check_spaces(path, record["spaces"], env)
            inner: Any = env.unwrapped
            agent._source = inner.batch.source
        return agent


SUPERVISION = {"random": "nothing", "expert": "support and gold answers when it acts"}
"""What rules are told beside observations; the others read the answers of training problems."""


def hashed(observation: Observation) -> np.ndarray:
    """(N,) int64 in [0, 2**62): a hash of what question and desk show."""
    tokens = np.concatenate([observation["question"], observation["unit"]], 1).astype(np.uint64)
    key = np.zeros(len(tokens), np.uint64)
    for column in tokens.T:
        key = policies.scatter(key ^ column)
    return (key >> np.uint64(2)).astype(np.int64)
