"""`keeping` says of every step what the utility `coverage` pays for it, also where facts are dropped or there are none."""

from __future__ import annotations

from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest

import reasongym  # noqa: F401
from reasongym.prm.keeping import KeepingPRM
from reasongym.seeding import rng


@pytest.mark.parametrize(("env_id", "slots"), [("ReasonGym-bAbI-v0", 2), ("ReasonGym-SQuAD2-v0", 1), ("ReasonGym-bAbI-v0", 0)])
def test_it_is_the_change_of_coverage(env_id, slots):
    env = gym.make_vec(env_id, num_envs=64, prm=KeepingPRM(), utility="coverage", memory_slots=slots)
    observation, _ = env.reset(seed=1)
    draw, signs = rng(4), []
    for _ in range(200):
        legal = observation["action_mask"].astype(bool)
        legal[:, 1 + 3 * slots :] &= ~legal[:, :1]  # never answers before the text is read: a slot is dropped more often
        action = np.array([draw.choice(np.flatnonzero(row)) for row in legal])
        action = np.where(draw.random(64) < 0.3, env.unwrapped.expert_action(), action)
        observation, _, _, _, info = env.step(action)
        paid, said = info["reward_terms"]["memory"], info["reward_terms"]["keeping"]
        np.testing.assert_allclose(np.nan_to_num(said), paid, atol=1e-6)
        signs.append(np.sign(said))
    assert set(np.unique(np.concatenate(signs))) == ({-1, 0, 1} if slots else {0})


def test_where_support_is_unknown_it_is_unscored_and_without_any_it_is_zero():
    before = np.array([[[1], [0]], [[0], [0]], [[1], [2]]], np.int32)
    after = np.array([[[3], [0]], [[0], [0]], [[1], [0]]], np.int32)
    annotation = SimpleNamespace(needed_before=before, needed_after=after, num_support=np.array([-1, 0, 2]))
    np.testing.assert_array_equal(KeepingPRM().score(SimpleNamespace(annotation=annotation))[:, 0], [np.nan, 0, -0.5])
