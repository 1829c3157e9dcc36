"""Acting reads the observation and `info["action_mask"]`, nothing else of info: poisoning the rest changes nothing."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import reasongym  # noqa: F401
from reasongym.registration import IDS


class Poison:
    """Breaks whoever touches it."""

    def __getattribute__(self, *name):
        raise AssertionError("an agent that acts has read a part of info other than the action mask")

    __bool__ = __int__ = __float__ = __getitem__ = __iter__ = __len__ = __eq__ = __getattribute__


class Poisoned(gym.Wrapper):
    """Replaces all of info but the action mask."""

    def reset(self, **keywords):
        observation, info = self.env.reset(**keywords)
        return observation, self.poison(info)

    def step(self, action):
        *out, info = self.env.step(action)
        return *out, self.poison(info)

    @staticmethod
    def poison(info):
        return {key: value if key == "action_mask" else Poison() for key, value in info.items()}


def masked_random(observation, info, draw):
    return int(draw.choice(np.flatnonzero(info["action_mask"])))


def keeps_what_the_question_names(observation, info, draw):
    """Stores units that share a word with the question, recalls them, answers by the last word seen: by observation alone."""
    mask, slots = info["action_mask"], observation["memory"].shape[0]
    named = np.intersect1d(observation["unit"], observation["question"][observation["question"] > 0])
    if mask[0]:
        store = np.flatnonzero(mask[1 : 1 + slots])
        return int(1 + store[0]) if len(named) and len(store) else 0
    recall = np.flatnonzero(mask[1 + 2 * slots : 1 + 3 * slots])
    if len(recall):
        return int(1 + 2 * slots + recall[0])
    return int(1 + 3 * slots + observation["chain"].sum() % (len(mask) - 1 - 3 * slots))


@pytest.mark.parametrize("policy", [masked_random, keeps_what_the_question_names])
@pytest.mark.parametrize("env_id", IDS)
def test_policies_play_the_same(env_id, policy):
    histories = []
    for env in (gym.make(env_id), Poisoned(gym.make(env_id))):
        draw, history = np.random.default_rng(0), []
        observation, info = env.reset(seed=0)
        for _ in range(80):
            action = policy(observation, info, draw)
            observation, reward, terminated, _, info = env.step(action)
            history.append((action, reward, terminated))
            if terminated:
                observation, info = env.reset()
        histories.append(history)
    assert histories[0] == histories[1]


def test_the_poison_works():
    env = Poisoned(gym.make("ReasonGym-bAbI-qa1-v0"))
    _, info = env.reset(seed=0)
    with pytest.raises(AssertionError, match="other than the action mask"):
        int(info["gold_choice"])
