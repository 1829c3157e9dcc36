"""Scores that actors compute are the scores."""

from __future__ import annotations

import sys

import numpy as np
import pytest

pytest.importorskip("ray")

import gymnasium as gym
import ray

import reasongym  # noqa: F401 (registers the ids)
from reasongym.adapters.ray import RayPRM
from reasongym.prm.annotated import AnnotatedPRM
from reasongym.prm.base import Scores
from reasongym.prm.lexical import LexicalPRM

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def cluster():
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # nodes cannot import a test module
    begun = not ray.is_initialized()
    if begun:
        ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False, object_store_memory=100 * 2**20)
    yield
    if begun:
        ray.shutdown()


class Weighed:
    """Scores with weights, by rows' own numbers: what is out of order shows."""

    criteria, needs_annotation, version, default_beta = ("place", "kind"), False, "weighed-1", {"place": 1.0, "kind": 1.0}

    def score(self, steps):
        values = np.stack([steps.units_read / 100, steps.kind / 10], 1).astype(np.float32)
        return Scores(values, values + 1)


@pytest.mark.parametrize("env_id", ["ReasonGym-bAbI-qa2-v0", "ReasonGym-SQuAD2-v0"])
@pytest.mark.parametrize("make", [Weighed, LexicalPRM, AnnotatedPRM])
def test_rewards_are_the_same(make, env_id):
    """Played in step, with and without actors: observations, rewards and scores to the bit."""
    far = RayPRM(make(), workers=2, num_cpus=0.5, least=4)
    plain, spread = (gym.make_vec(env_id, num_envs=24, prm=prm) for prm in (make(), far))
    generator = np.random.default_rng(0)
    (ours, _), (theirs, _) = plain.reset(seed=3), spread.reset(seed=3)
    for _ in range(20):
        noise = generator.random(ours["action_mask"].shape)
        actions = np.where(ours["action_mask"], noise, -1).argmax(1)
        ours, reward, *_ = plain.step(actions)
        theirs, other, *_ = spread.step(actions)
        np.testing.assert_array_equal(reward, other)
        np.testing.assert_array_equal(ours["action_mask"], theirs["action_mask"])
    far.close()


def test_an_actor_that_is_lost_is_asked_again():
    far = RayPRM(Weighed(), workers=2, num_cpus=0.5, least=1)
    env = gym.make_vec("ReasonGym-bAbI-qa1-v0", num_envs=8, prm=far)
    env.reset(seed=0)
    env.step(np.zeros(8, np.int64))
    ray.kill(far._workers[0], no_restart=False)
    _, reward, *_ = env.step(np.zeros(8, np.int64))
    assert np.isfinite(reward).all()
    far.close()


def test_what_cannot_be_spread_is_refused():
    class Keeping(Weighed):
        carry_size = 2

    with pytest.raises(ValueError, match="keeps numbers from step to step"):
        RayPRM(Keeping())
    with pytest.raises(ValueError, match="workers and least"):
        RayPRM(Weighed(), workers=0)
