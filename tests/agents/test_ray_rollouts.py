"""Episodes that are played on a cluster are those that one process plays."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

pytest.importorskip("ray")

import ray

from agents.base import SB3Agent, evaluate
from agents.baselines import make
from agents.baselines.heuristics import Rule
from agents.ray_rollouts import Rollouts, rollouts
from reasongym.adapters.sb3 import make_vec_env
from reasongym.errors import DataError

pytestmark = pytest.mark.slow
ENV, SLOTS = "ReasonGym-bAbI-qa2-v0", {"memory_slots": 4}


@pytest.fixture(scope="module", autouse=True)
def cluster():
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # nodes cannot import a test module
    begun = not ray.is_initialized()
    if begun:
        ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False, object_store_memory=100 * 2**20)
    yield
    if begun:
        ray.shutdown()


@pytest.fixture(scope="module")
def learner():
    """A policy that samples."""
    from agents.ppo import MemoryPPO

    env = make_vec_env(ENV, n_envs=4, seed=0, **SLOTS)
    return SB3Agent(MemoryPPO("MemoryPolicy", env, n_steps=4, batch_size=8, seed=0))


def same(ours: Rollouts, theirs: Rollouts) -> None:
    for name in ("problems", "success", "first", "actions", "rewards", "terms"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)
    assert ours.observations.keys() == theirs.observations.keys()
    for key, value in ours.observations.items():
        np.testing.assert_array_equal(value, theirs.observations[key], err_msg=key)


def test_they_are_the_evaluation_episode_by_episode(learner):
    problems = range(50)
    for agent in (make("tf-idf", make_vec_env(ENV, n_envs=4, seed=0, **SLOTS)).learn(1_000), learner):
        parts = list(rollouts(agent, ENV, problems, split="validation", deterministic=True, at_once=20, num_cpus=0.5, **SLOTS))
        assert [len(part) for part in parts] == [20, 20, 10]
        played, there = Rollouts.joined(parts), evaluate(agent, ENV, problems=problems, num_envs=20, **SLOTS)
        assert played.problems.tolist() == list(problems)
        assert played.success.tolist() == list(there.right)
        assert len(played.actions) / 50 == pytest.approx(there.mean_length)
        assert played.rewards.sum() / 50 == pytest.approx(there.mean_return, abs=1e-4)
        np.testing.assert_allclose(played.terms.sum(1), played.rewards, atol=1e-5)
        mask = played.observations["action_mask"]
        assert mask[np.arange(len(mask)), played.actions].all(), "what was seen is what was decided on"


def test_samples_depend_on_the_seed_alone(learner):
    how = {"at_once": 8, "num_cpus": 0.5, **SLOTS}
    first, again, other = (Rollouts.joined(rollouts(learner, ENV, range(24), seed=seed, **how)) for seed in (1, 1, 2))
    same(first, again)
    assert first.actions.tolist() != other.actions.tolist()
    bare = Rollouts.joined(rollouts(learner, ENV, range(24), seed=1, observations=False, in_flight=1, **how))
    assert bare.observations == {}
    assert bare.actions.tolist() == first.actions.tolist()


class Dying(Rule):
    """Takes its process along when it is loaded and a file lies there, which it removes."""

    @classmethod
    def load(cls, path, env=None, device="cpu"):
        trap = (path.parent / "trap").read_text()
        if os.path.exists(trap):
            os.unlink(trap)
            os._exit(1)
        return super().load(path, env, device)

    def save(self, path):
        super().save(path)
        (path.parent / "trap").write_text(self.trap)


def test_a_slice_that_is_lost_is_played_again(tmp_path):
    trap, how = tmp_path / "trap", {"at_once": 10, "num_cpus": 0.5, **SLOTS}
    agents = [Dying(make_vec_env(ENV, n_envs=1, seed=0, **SLOTS)) for _ in range(2)]
    agents[0].trap, agents[1].trap = str(tmp_path / "none"), str(trap)
    there = Rollouts.joined(rollouts(agents[0], ENV, range(20), **how))
    trap.write_text("")
    same(there, Rollouts.joined(rollouts(agents[1], ENV, range(20), retries=3, **how)))
    assert not trap.exists(), "the process was lost"


def test_what_cannot_be_played_is_refused_here(learner):
    with pytest.raises(ValueError, match="is of other environments"):
        next(rollouts(learner, ENV, range(4), memory_slots=5))
    with pytest.raises(ValueError, match="at_once must be at least 1"):
        next(rollouts(learner, ENV, range(4), at_once=0, **SLOTS))
    with pytest.raises((IndexError, DataError), match="problem"):
        list(rollouts(learner, ENV, [10**9], split="validation", **SLOTS))
    with pytest.raises(ValueError, match="no rollouts to join"):
        Rollouts.joined(rollouts(learner, ENV, [], **SLOTS))
