"""Stable-Baselines3: a `VecEnv` over the compiled vector, for SB3's and sb3-contrib's algorithms as they are.

    from reasongym.adapters.sb3 import make_vec_env
    model = PPO("MultiInputPolicy", make_vec_env("ReasonGym-bAbI-qa1-v0", n_envs=64))

SB3 wants a list of N info dictionaries a step; building N of them is most of what a Python-loop vector costs. Here the same
empty dictionaries are handed out step after step, and only those of episodes that ended are filled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv

from reasongym.engine.expert import expert_action
from reasongym.engine.gold import gold_choices
from reasongym.engine.infos import InfoWriter
from reasongym.envs import ReasonGymVectorEnv, checked_options, problem_indices


class ReasonGymVecEnv(VecEnv):
    """A ReasonGym vector as an SB3 `VecEnv`.

    Environment i with seed s plays the same episodes as index i of the Gymnasium vector with seed s, and as a single
    environment reset with `seed=s, options={"env_index": i}`. Observations are copies; infos of episodes that ended hold
    `terminal_observation`, `TimeLimit.truncated`, `episode` (as `Monitor` writes it), `is_success`, the memory's rates, and
    `reward_terms` of their last step.

    Args:
        vector: the vector environment; its `max_episode_steps`, if any, truncates.

    Attributes:
        scores: (N, k) float32 raw scores of the last step by `batch.settings.criteria`, NaN = unscored; those of last steps
            too, which a reset clears in `batch.result`.
        next_problems: what environments play whose episode ended: called with (N,) bool which, returns (N,) indices of
            problems, -1 leaves it to the order; None (all of it to the order). For curricula; whoever sets it keeps its state.
    """

    def __init__(self, vector: ReasonGymVectorEnv) -> None:
        self.vector = vector
        self.batch = vector.batch
        self.batch.autoreset = False
        self._writer = InfoWriter(self.batch, tells_gold=False)
        self._infos: list[dict[str, Any]] = [{} for _ in range(vector.num_envs)]
        self._filled: list[int] = []
        self._seed: int | None = None
        self._masks: np.ndarray | None = None
        self.scores = self.batch.result.scores.copy()
        self.next_problems: Callable[[np.ndarray], np.ndarray] | None = None
        super().__init__(vector.num_envs, vector.single_observation_space, vector.single_action_space)

    @property
    def gold_choice(self) -> np.ndarray:
        """(N,) int16: the gold choice of the problem that each environment is playing, -1 none; for training only.

        Of span answers see `engine.gold.gold_choices`.

        Raises:
            PermissionError: the environment is not of the training split, or reads no gold answers.
        """
        self._check_training("gold choices are")
        return gold_choices(self.batch)

    @property
    def best_reasoning(self) -> np.ndarray:
        """(N,) int16: the expert's action where the text is over, -1 elsewhere, and after a wrong START; for training only.

        Raises:
            PermissionError: as for `gold_choice`.
        """
        self._check_training("the expert's actions are")
        state, best = self.batch.memory.state, np.full(self.num_envs, -1, np.int16)
        over, begun = state["cursor"] >= state["num_units"], state["span_start"] >= 0
        for i in np.flatnonzero(over & ~begun).tolist():
            best[i] = expert_action(self.batch, i)
        gold = gold_choices(self.batch) if begun.any() else best
        return np.where(begun & (gold >= 0), 1 + 3 * self.batch.shapes.slots + gold, best)

    def _check_training(self, what: str) -> None:
        split = getattr(self.batch.source, "split", "train")
        if split != "train" or not self.batch.settings.reads_gold:
            raise PermissionError(f"{what} told on the training split only (this is {split!r}), where gold is read")

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        self._seed = int(np.random.SeedSequence().entropy % 2**31) if seed is None else seed  # type: ignore[operator]
        return [self._seed] * self.num_envs

    def reset(self) -> dict[str, np.ndarray]:
        everyone = np.ones(self.num_envs, bool)
        if self._seed is not None or not self.vector._seeded:
            seed = int(self.vector.np_random.integers(2**31)) if self._seed is None else self._seed
            self.vector._seed(seed, everyone)
            self._seed = None
        options = [checked_options(own, ("problem",)) for own in self._options]
        problems = np.array([own.get("problem", -1) for own in options])
        self.batch.reset(everyone, problem_indices({"problem": problems}, self.batch))
        self._reset_options()
        for i in self._filled:
            self._infos[i] = {}
        self._filled = []
        return self.batch.arena.copy()

    def step_async(self, actions: np.ndarray) -> None:
        if not self.vector._seeded:
            raise ResetNeeded("call reset() before step()")
        self._pending = self.batch.checked(actions)

    def step_wait(self) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, list[dict[str, Any]]]:
        batch = self.batch
        batch.step(self._pending)
        truncated = self.vector._truncate()
        done = batch.result.outcome["terminated"].astype(bool) | truncated
        reward, self.scores = batch.result.reward.astype(np.float32), batch.result.scores.copy()
        for i in self._filled:
            self._infos[i] = {}
        self._filled = np.flatnonzero(done).tolist()
        if self._filled:
            self._fill(done, truncated)
            chosen = None if self.next_problems is None else self.next_problems(done)
            batch.reset(done, None if chosen is None else problem_indices({"problem": chosen}, batch))
        return batch.arena.copy(), reward, done, list(self._infos)

    def _fill(self, done: np.ndarray, truncated: np.ndarray) -> None:
        """Writes the infos of the episodes that have just ended."""
        batch, rows = self.batch, np.flatnonzero(done)
        final = {key: view[rows] for key, view in batch.arena.views.items()}
        names, terms = (*batch.settings.criteria, "memory"), batch.result.terms[rows].tolist()
        for j, (i, info) in enumerate(zip(self._filled, self._writer.ended(rows), strict=True)):
            info["reward_terms"] = dict(zip(names, terms[j], strict=True))
            info["terminal_observation"] = {key: value[j] for key, value in final.items()}
            info["TimeLimit.truncated"] = bool(truncated[i] and not batch.result.outcome["terminated"][i])
            info["episode"] = {"r": info["episode_return"], "l": info["episode_length"], "t": 0.0}
            self._infos[i] = info

    def action_masks(self) -> np.ndarray:
        """(N, A) bool: which actions are legal now."""
        return self.vector.action_masks()

    def feedback(self, amount: np.ndarray) -> dict[str, np.ndarray]:
        """Moves the salience of the slots touched last by `amount` (N,); returns the observations with it."""
        self.batch.feedback(amount)
        return self.batch.arena.copy()

    def get_state(self) -> dict[str, Any]:
        """The whole state of all environments."""
        return self.vector.get_state()

    def set_state(self, state: dict[str, Any]) -> None:
        """Resumes from `get_state`; a seed that no reset has taken yet is dropped."""
        self.vector.set_state(state)
        self._seed = None

    def close(self) -> None:
        self.vector.close()

    def has_attr(self, attr_name: str) -> bool:
        return attr_name == "action_masks" or hasattr(self.vector, attr_name)

    def get_attr(self, attr_name: str, indices: None | int | Iterable[int] = None) -> list[Any]:
        rows = list(self._get_indices(indices))
        if attr_name == "action_masks":
            return [lambda i=i: self.action_masks()[i] for i in rows]
        return [getattr(self.vector, attr_name)] * len(rows)

    def set_attr(self, attr_name: str, value: Any, indices: None | int | Iterable[int] = None) -> None:
        raise AttributeError(f"{attr_name!r} cannot be set: the environments of a compiled vector share their settings")

    def env_method(
        self, method_name: str, *method_args: Any, indices: None | int | Iterable[int] = None, **method_kwargs: Any
    ) -> list[Any]:
        found = getattr(self, method_name, None) or getattr(self.vector, method_name)
        result = found(*method_args, **method_kwargs)
        return [result[i] for i in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type, indices: None | int | Iterable[int] = None) -> list[bool]:
        return [wrapper_class is Monitor] * len(list(self._get_indices(indices)))


def make_vec_env(env_id: str, n_envs: int = 1, seed: int | None = None, **keywords: Any) -> ReasonGymVecEnv:
    """`n_envs` environments of an id as an SB3 `VecEnv`; keywords as for `gym.make_vec`."""
    vector = gym.make_vec(env_id, num_envs=n_envs, **keywords)
    if not isinstance(vector, ReasonGymVectorEnv):
        raise TypeError(f"{env_id!r} is no ReasonGym id: it made {type(vector).__name__}; use SB3's own make_vec_env")
    venv = ReasonGymVecEnv(vector)
    if seed is not None:
        venv.seed(seed)
    return venv
