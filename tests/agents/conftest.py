"""Small environments and models for the agents' tests."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv

from agents.ppo import MemoryPPO
from reasongym.adapters.sb3 import ReasonGymVecEnv, make_vec_env


class RepeatFirst(gym.Env[np.ndarray, np.int64]):
    """Shows a bit once, then nothing; the last of four steps pays 1 for repeating it."""

    observation_space = spaces.Box(0, 1, (3,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.bit, self.step_number = int(self.np_random.integers(2)), 0
        return np.array([self.bit, 1 - self.bit, 0], np.float32), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.step_number += 1
        ended = self.step_number == 4
        return np.array([0, 0, self.step_number / 4], np.float32), float(ended and action == self.bit), ended, False, {}


class Forever(gym.Env[np.ndarray, np.int64]):
    """Pays 1 a step and never ends by itself."""

    observation_space = spaces.Box(0, 1, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        return np.ones(1, np.float32), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict]:
        return np.ones(1, np.float32), 1.0, False, False, {}


def vector(env: type[gym.Env], n_envs: int, max_steps: int | None = None) -> DummyVecEnv:
    """`n_envs` of a class as SB3's plain vector, cut after `max_steps`."""
    return DummyVecEnv([lambda: env() if max_steps is None else gym.wrappers.TimeLimit(env(), max_steps)] * n_envs)


def reader_env(n_envs: int = 4, split: str = "train", **keywords: object) -> ReasonGymVecEnv:
    """Small procedural task-1 environments."""
    return make_vec_env("ReasonGym-bAbI-qa1-v0", n_envs=n_envs, seed=0, split=split, num_problems=200, **keywords)


def small_model(env: object, core: str = "gru", **keywords: object) -> MemoryPPO:
    """A MemoryPPO small enough for a test."""
    settings = {"n_steps": 16, "batch_size": 32, "n_epochs": 1, "seed": 0, "device": "cpu", **keywords}
    kwargs = {"core": core, "core_size": 16, **settings.pop("policy_kwargs", {})}  # type: ignore[dict-item]
    return MemoryPPO("MemoryPolicy", env, policy_kwargs=kwargs, **settings)  # type: ignore[arg-type]
