"""What the observation wrappers share: one batched function of observations, applied to one environment or to a vector.

Unlike `gymnasium.vector.VectorObservationWrapper`, `VectorTransform` also serves same-step autoreset: the last observations
of ended episodes (`infos["final_obs"]`) are transformed too.
"""

from __future__ import annotations

from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space

Observations = dict[str, np.ndarray]


class Transform(Protocol):
    """A function of n observations, with the space of one result."""

    space: gym.Space

    def __call__(self, observations: Observations, n: int) -> Any:
        """`observations`: (n, ...) arrays by key -> the same n, transformed: one array, or a dictionary of them."""
        ...


def dict_space(space: gym.Space, wrapper: str) -> gym.spaces.Dict:
    """The space itself when it is a Dict with a mask.

    Raises:
        TypeError: it is not.
    """
    if not isinstance(space, gym.spaces.Dict) or "action_mask" not in space.spaces:
        raise TypeError(f"{wrapper} wraps a ReasonGym environment with array observations, got the observation space {space}")
    return space


def _first(transformed: Any) -> Any:
    """The only one of a batch of one."""
    return {k: v[0] for k, v in transformed.items()} if isinstance(transformed, dict) else transformed[0]


class SingleTransform(gym.ObservationWrapper, gym.utils.RecordConstructorArgs):
    """Applies a transform to one environment."""

    def __init__(self, env: gym.Env, transform: Transform, **arguments: Any) -> None:
        gym.utils.RecordConstructorArgs.__init__(self, **arguments)
        gym.ObservationWrapper.__init__(self, env)
        self.transform = transform
        self.observation_space = transform.space

    def observation(self, observation: Observations) -> Any:
        """The transformed observation."""
        return _first(self.transform({k: np.asarray(v)[None] for k, v in observation.items()}, 1))


class VectorTransform(VectorWrapper):
    """Applies a transform to a vector of environments, all at once."""

    def __init__(self, env: VectorEnv, transform: Transform) -> None:
        super().__init__(env)
        self.transform = transform
        self.single_observation_space = transform.space
        self.observation_space = batch_space(transform.space, self.num_envs)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As the vector's own, with transformed observations."""
        observations, infos = self.env.reset(seed=seed, options=options)
        return self.transform(observations, self.num_envs), infos

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """As the vector's own, with transformed observations, the final ones included."""
        observations, rewards, terminations, truncations, infos = self.env.step(actions)
        if "final_obs" in infos:
            infos = {**infos, "final_obs": self._final(infos["final_obs"])}
        return self.transform(observations, self.num_envs), rewards, terminations, truncations, infos

    def _final(self, final: Any) -> Any:
        if isinstance(final, dict):
            return self.transform(final, self.num_envs)
        out = np.full(len(final), None, dtype=object)
        for i, observation in enumerate(final):
            if observation is not None:
                out[i] = _first(self.transform({k: np.asarray(v)[None] for k, v in observation.items()}, 1))
        return out
