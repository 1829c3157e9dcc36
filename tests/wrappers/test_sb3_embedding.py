"""Embedded features under Stable-Baselines3: the same numbers as the single wrapper, and a plain PPO learns from them."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import reasongym  # noqa: F401
from reasongym.wrappers import EmbedObservation

stable_baselines3 = pytest.importorskip("stable_baselines3")

from reasongym.adapters.sb3 import make_vec_env  # noqa: E402
from reasongym.adapters.sb3_observations import EmbedVecEnv  # noqa: E402

ID = "ReasonGym-bAbI-qa1-v0"
SHORT = {"memory_slots": 2, "chain_length": 2, "difficulty": {"max_units": 3}}


def test_embedded_as_the_single_wrapper_does():
    venv = EmbedVecEnv(make_vec_env(ID, n_envs=2, seed=3, **SHORT), dimensions=32)
    single = EmbedObservation(gym.make(ID, **SHORT), dimensions=32)
    features, _ = single.reset(seed=3)
    observations = venv.reset()
    ended = False
    while not ended:
        for key, value in features.items():
            np.testing.assert_array_equal(observations[key][0], value)
        action = single.unwrapped.expert_action()
        features, _, ended, *_ = single.step(action)
        observations, _, dones, infos = venv.step(np.array([action, 0]))
    assert dones[0]
    for key, value in features.items():
        np.testing.assert_array_equal(infos[0]["terminal_observation"][key], value)
    assert {k: v[1] for k, v in observations.items()} in venv.observation_space


def accuracy(model, problems=200):
    """Share of held-out episodes answered right, acting deterministically."""
    venv = EmbedVecEnv(make_vec_env(ID, n_envs=problems, seed=1, split="validation", **SHORT))
    observations, right, done = venv.reset(), np.zeros(problems, bool), np.zeros(problems, bool)
    while not done.all():
        actions, _ = model.predict(observations, deterministic=True)
        observations, _, dones, infos = venv.step(actions)
        for i in np.flatnonzero(dones & ~done):
            right[i] = infos[i]["is_success"]
        done |= dones
    return right.mean()


@pytest.mark.slow
def test_a_plain_ppo_learns():
    venv = EmbedVecEnv(make_vec_env(ID, n_envs=64, seed=0, **SHORT))
    arguments = {"n_steps": 32, "batch_size": 512, "n_epochs": 6, "learning_rate": 1e-3, "gamma": 0.97, "ent_coef": 0.02}
    model = stable_baselines3.PPO("MultiInputPolicy", venv, seed=0, device="cpu", **arguments)
    assert accuracy(model) < 0.4
    model.learn(110_000)
    assert accuracy(model) > 0.55
