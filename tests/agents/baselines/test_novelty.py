"""The bonus for what was seldom seen."""

from __future__ import annotations

import numpy as np
import pytest

from agents.baselines import make
from agents.baselines.novelty import Novelty
from agents.baselines.settings import OUTCOME_ONLY
from reasongym.adapters.sb3 import make_vec_env

ID = "ReasonGym-bAbI-qa1-v0"
SMALL = {"memory_slots": 2, "difficulty": {"max_units": 4}}


@pytest.fixture
def env():
    return make_vec_env(ID, 6, seed=0, **SMALL, **OUTCOME_ONLY)


def test_it_falls_with_the_root_of_the_count(env):
    novelty = Novelty(env, weight=0.5, bits=40)
    observation = env.reset()
    same = {key: np.repeat(value[:1], 6, axis=0) for key, value in observation.items()}
    for round_ in range(3):
        np.testing.assert_allclose(novelty.bonus(same), 0.5 / np.sqrt(6 * (round_ + 1)))
    assert list(novelty.counts.values()) == [18]


def test_words_count_where_they_stand_and_not_in_which_slot(env):
    novelty = Novelty(env, bits=40)
    observation = {key: value.copy() for key, value in env.reset().items()}
    before = novelty.codes(observation)
    assert len(set(before)) > 1, "other problems, other codes"
    observation["memory"][:, 0, : observation["unit"].shape[1]] = observation["unit"]
    held = novelty.codes(observation)
    assert (held != before).all()
    observation["memory"] = observation["memory"][:, ::-1]
    np.testing.assert_array_equal(novelty.codes(observation), held)


def test_rewards_are_the_environments_and_the_bonus(env):
    plain = make_vec_env(ID, 6, seed=0, **SMALL, **OUTCOME_ONLY)
    novelty = Novelty(env, weight=0.25)
    plain.reset(), novelty.reset()
    rng = np.random.default_rng(0)
    ended = 0
    for _ in range(60):
        mask = plain.env_method("action_masks")
        actions = np.array([rng.choice(np.flatnonzero(legal)) for legal in np.asarray(mask)])
        _, own, done, _ = plain.step(actions)
        _, paid, over, _ = novelty.step(actions)
        np.testing.assert_array_equal(done, over)
        assert (paid[~done] > own[~done]).all()
        np.testing.assert_array_equal(paid[done], own[done], "nothing new is seen when an episode is over")
        ended += done.sum()
    assert ended > 5
    assert paid.dtype == own.dtype


def test_a_run_goes_on_with_its_counts(env):
    novelty = Novelty(env)
    novelty.reset()
    for _ in range(5):
        novelty.step(np.zeros(6, int))
    state = novelty.get_state()
    first = novelty.step(np.zeros(6, int))[1]
    novelty.set_state(state)
    np.testing.assert_array_equal(novelty.step(np.zeros(6, int))[1], first)


def test_only_training_is_paid_for_it(env):
    agent = make("outcome+novelty", env, n_steps=8, batch_size=32, policy_kwargs={"size": 16}).learn(200)
    assert sum(agent.model.get_env().counts.values()) > 100
    held_out = make_vec_env(ID, 4, seed=1, split="validation", **SMALL, **OUTCOME_ONLY)
    assert agent.playing_in(held_out) is held_out


@pytest.mark.parametrize(("options", "said"), [({"weight": 0.0}, "positive"), ({"bits": 63}, "bits")])
def test_what_is_out_of_range_is_refused(env, options, said):
    with pytest.raises(ValueError, match=said):
        Novelty(env, **options)


def test_a_loaded_agent_learns_on_with_the_bonus(env, tmp_path):
    agent = make("outcome+novelty", env, n_steps=8, batch_size=32, policy_kwargs={"size": 16}).learn(50)
    assert "seldom seen" in agent.supervision
    agent.save(tmp_path / "agent.zip")
    again = type(agent).load(tmp_path / "agent.zip", env=env).learn(100)
    assert sum(again.model.get_env().counts.values()) > 50


def test_without_slots_the_rest_is_hashed():
    novelty = Novelty(make_vec_env(ID, 4, seed=0, memory_slots=0))
    novelty.reset()
    assert (novelty.step(np.zeros(4, int))[1] > 0).all()
