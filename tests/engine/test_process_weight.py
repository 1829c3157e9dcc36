"""Process rewards and utility can be weighed anew while environments are played; outcomes and validity stay."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from reasongym.envs import ReasonGymVectorEnv
from reasongym.prm.lexical import LexicalPRM

TINY = {"tasks": (1,), "difficulty": {"max_units": 4}, "memory_slots": 2}


class Counting(LexicalPRM):
    """Counts how often it is asked."""

    cacheable = False
    asked = 0

    def score(self, steps):
        self.asked += 1
        return super().score(steps)


def play(env, steps: int = 40):
    """(T, N) rewards and (T, N, k + 1) terms of random play, the same for the same environments."""
    env.action_space.seed(0)
    draw, rewards, terms = np.random.default_rng(0), [], []
    env.reset(seed=3)
    for _ in range(steps):
        mask = env.batch.arena.views["action_mask"]
        actions = np.array([draw.choice(np.flatnonzero(row)) for row in mask])
        _, reward, *_ = env.step(actions)
        rewards.append(reward.copy())
        terms.append(env.batch.result.terms.copy())
    return np.array(rewards), np.array(terms)


@pytest.mark.parametrize("keywords", [{}, {"prm": "lexical"}, {"prm": "lexical", "utility": "use"}, {"observer": "lexical"}])
def test_a_weight_multiplies_all_but_what_ends_earn(keywords):
    env, half, none = (ReasonGymVectorEnv(num_envs=8, **TINY, **keywords) for _ in range(3))
    half.batch.weigh_process(0.5)
    none.batch.weigh_process(0.0)
    (whole, terms), (paid, halved), (least, ended) = (play(each) for each in (env, half, none))
    assert np.abs(terms[..., :-3]).sum() > 0
    assert np.abs(terms[..., -3]).sum() > 0, "an answer was right"
    np.testing.assert_allclose(halved[..., -3:-1], terms[..., -3:-1])
    np.testing.assert_allclose(np.delete(halved, (-3, -2), -1), np.delete(terms, (-3, -2), -1) / 2, atol=1e-6)
    np.testing.assert_allclose(least, terms[..., -3:-1].sum(-1), atol=1e-6)
    assert not np.delete(ended, (-3, -2), -1).any()
    assert np.abs(whole - paid).max() > 0.01
    none.batch.weigh_process(1.0)
    np.testing.assert_allclose(play(none)[0], whole, atol=1e-6, err_msg="and back")


def test_a_prm_that_is_not_paid_is_not_asked():
    prm = Counting()
    env = ReasonGymVectorEnv(num_envs=4, prm=prm, **TINY)
    play(env, 5)
    assert prm.asked == 5
    env.batch.weigh_process(0.0)
    play(env, 5)
    assert prm.asked == 5
    assert np.isnan(env.batch.result.scores[:, : len(prm.criteria)]).all()
    env.batch.weigh_process(1.0)
    play(env, 5)
    assert prm.asked == 10


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))], ids=["copied", "pickled"])
def test_copies_keep_the_weight(clone):
    env = ReasonGymVectorEnv(num_envs=4, **TINY)
    env.batch.weigh_process(0.0)
    np.testing.assert_array_equal(play(clone(env).unwrapped)[0], play(env)[0])


@pytest.mark.parametrize("weight", [-0.1, np.nan, np.inf])
def test_a_weight_is_a_number_from_0(weight):
    env = ReasonGymVectorEnv(num_envs=2, **TINY)
    with pytest.raises(ValueError, match="must be at least 0 and finite"):
        env.batch.weigh_process(weight)
    assert env.batch.process_weight == 1
