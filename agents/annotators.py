"""Episodes played in pairs, and simulated annotators who compare them (Christiano et al. 2017, arXiv 1706.03741).

Annotators know support and gold, judge a whole episode at once by a few coarse qualities, may err, and are paid by the label.

Axes: E episodes, P pairs of episodes of the same problem, Q qualities.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from agents.ppo import MemoryPPO
from reasongym.adapters.sb3 import ReasonGymVecEnv
from reasongym.seeding import rng

QUALITIES = ("useful", "harmful")
"""What annotators judge: whether the question was answered; answers without evidence, and acts that do not serve it."""
BITS = math.log2(3)
"""Most that a label tells: first, second, or no difference."""


class Ends(NamedTuple):
    """How E episodes ended.

    Attributes:
        observations: in front of the last action, by key, (E, ...).
        actions: (E,) int64, the last one.
        judged: (E, Q) float64, what an annotator who makes no mistake thinks of each.
        steps: frames played to get them.
    """

    observations: dict[str, np.ndarray]
    actions: np.ndarray
    judged: np.ndarray
    steps: int


def play_pairs(model: MemoryPPO, env: VecEnv, problems: np.ndarray) -> Ends:
    """Plays each problem twice with a model's own exploration.

    Args:
        model: who plays.
        env: an even number of environments with `prm="annotated"`: annotators judge by what it knows.
        problems: (P,) indices.

    Returns:
        E = 2P episodes; e and e + P are of the same problem.

    Raises:
        ValueError: the environments score no `goal` and `coherence` from annotation.
    """
    inner: Any = env.unwrapped
    batch = inner.batch
    if not (isinstance(inner, ReasonGymVecEnv) and batch.settings.compiled_prm):
        raise ValueError("annotators judge by support and gold: make the environments with prm='annotated'")
    columns = [batch.settings.criteria.index(name) for name in ("goal", "coherence")]
    wanted = np.concatenate([problems, problems])
    order = np.arange(len(wanted)).reshape(2, -1).T.flatten()  # both episodes of a problem are played in the same chunk
    ends: dict[str, list[Any]] = {"observation": [], "action": [], "judged": []}
    steps = 0
    for begin in range(0, len(order), env.num_envs):
        rows = order[begin : begin + env.num_envs]
        chunk = _play(model, env, batch, columns, np.resize(wanted[rows], env.num_envs), len(rows))
        steps += chunk.steps
        ends["observation"].append(chunk.observations)
        ends["action"].append(chunk.actions)
        ends["judged"].append(chunk.judged)
    back = np.argsort(order)
    observations = {key: np.concatenate([o[key] for o in ends["observation"]])[back] for key in ends["observation"][0]}
    return Ends(observations, np.concatenate(ends["action"])[back], np.concatenate(ends["judged"])[back], steps)


def _play(model: MemoryPPO, env: VecEnv, batch: Any, columns: list[int], problems: np.ndarray, count: int) -> Ends:
    """One episode an environment, of which the first `count` are returned."""
    n = env.num_envs
    env.set_options([{"problem": int(problem)} for problem in problems])
    observation: Any = env.reset()
    state: Any = None
    start, playing = np.ones(n, bool), np.ones(n, bool)
    last = {key: value.copy() for key, value in observation.items()}
    actions, judged, steps = np.zeros(n, np.int64), np.zeros((n, len(QUALITIES))), 0
    while playing[:count].any():
        chosen, state = model.predict(observation, state=state, episode_start=start, deterministic=False)
        for key, value in observation.items():
            last[key][playing] = value[playing]
        actions[playing] = chosen[playing]
        observation, _, start, infos = env.step(chosen)
        steps += count
        astray = (batch.result.scores[:, columns] < 0).any(1) & playing & ~start
        judged[astray, 1] += 1 / batch.shapes.chain_length
        for i in np.flatnonzero(start & playing).tolist():
            judged[i, 0] = infos[i]["is_success"]
            judged[i, 1] += infos[i]["evidence_recall"] < 1  # NaN, where nothing needs evidence, is no offence
        playing &= ~start
    return Ends({key: value[:count] for key, value in last.items()}, actions[:count], judged[:count], steps)


class Annotators:
    """Simulated annotators.

    Args:
        budget: labels they may be paid for; None: as many as are asked for.
        error: probability that a label is not what its annotator ought to have said: the other episode, and either one (by
            the toss of a coin) where there is no difference.
        seed: of their mistakes.
    """

    def __init__(self, budget: int | None = 1_000, error: float = 0.1, seed: int = 0) -> None:
        if budget is not None and budget < 0:
            raise ValueError(f"a budget of labels must not be negative, got {budget!r}")
        if not 0 <= error <= 0.5:
            raise ValueError(f"error must lie in [0, 0.5], got {error!r}")
        self.budget, self.error, self.labels = budget, error, 0
        self._draw = rng(seed, 7)

    @property
    def left(self) -> float:
        """Labels that can still be paid for."""
        return math.inf if self.budget is None else self.budget - self.labels

    @property
    def label_bits(self) -> float:
        """The most that all labels so far told."""
        return self.labels * BITS

    def compare(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Labels pairs of qualities (P, Q): 1 the first has more of it, 0 the second, 0.5 no difference; (P, Q) float64.

        Raises:
            ValueError: that would exceed the budget.
        """
        if first.size > self.left:
            raise ValueError(f"{first.size} labels were asked for, and {self.left:.0f} of {self.budget} are left")
        self.labels += first.size
        said = np.where(first > second, 1.0, np.where(first < second, 0.0, 0.5))
        wrong = np.where(said == 0.5, self._draw.integers(0, 2, first.shape), 1 - said)
        return np.where(self._draw.random(first.shape) < self.error, wrong, said)
