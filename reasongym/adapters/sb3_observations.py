"""The observation wrappers for Stable-Baselines3's `VecEnv`: embedded features that a plain MLP policy can learn from.

from reasongym.adapters.sb3 import make_vec_env
from reasongym.adapters.sb3_observations import EmbedVecEnv
model = PPO("MultiInputPolicy", EmbedVecEnv(make_vec_env("ReasonGym-bAbI-qa1-v0", n_envs=64)))
"""

from __future__ import annotations

from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from reasongym.wrappers.base import dict_space
from reasongym.wrappers.embed import DIMENSIONS, Embedding


class EmbedVecEnv(VecEnvWrapper):
    """`EmbedObservation` for a `VecEnv`; terminal observations are embedded too.

    Args:
        venv: a `VecEnv` of ReasonGym environments.
        dimensions: D, buckets of a bag.
    """

    def __init__(self, venv: VecEnv, *, dimensions: int = DIMENSIONS) -> None:
        self._embedding = Embedding(dict_space(venv.observation_space, "EmbedVecEnv"), dimensions)
        super().__init__(venv, observation_space=self._embedding.space)

    def reset(self) -> dict[str, np.ndarray]:
        """As the `VecEnv`'s own, embedded."""
        return self._embedding(self.venv.reset(), self.num_envs)  # type: ignore[arg-type]

    def step_wait(self) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """As the `VecEnv`'s own, embedded."""
        observations, rewards, dones, infos = self.venv.step_wait()
        ended = np.flatnonzero(dones)
        if len(ended):
            finals = [infos[i]["terminal_observation"] for i in ended]
            stacked = {key: np.stack([final[key] for final in finals]) for key in finals[0]}
            embedded = self._embedding(stacked, len(ended))
            for j, i in enumerate(ended):
                infos[i]["terminal_observation"] = {key: value[j] for key, value in embedded.items()}
        return self._embedding(observations, self.num_envs), rewards, dones, infos  # type: ignore[arg-type]
