"""Process rewards that are paid in the first part of the time alone."""

from __future__ import annotations

import pytest

from agents.baselines.ppo import PPOAgent
from reasongym.adapters.sb3 import make_vec_env

TINY = {"difficulty": {"max_units": 2}, "memory_slots": 2}


def env_of(**keywords):
    return make_vec_env("ReasonGym-bAbI-qa1-v0", 8, seed=0, **TINY, **keywords)


@pytest.mark.parametrize("keywords", [{}, {"prm": "lexical", "utility": "none"}])
def test_after_its_share_outcomes_alone_are_paid(keywords):
    env, weights = env_of(**keywords), []
    agent = PPOAgent(env, process_share=0.5, n_steps=8, batch_size=64, feedback=True)
    step = env.step_wait
    env.step_wait = lambda: (weights.append(env.batch.process_weight), step())[1]
    agent.learn(256)
    assert weights == [1.0] * 16 + [0.0] * 16
    assert agent.model.num_timesteps == 256
    assert env.batch.process_weight == 1, "who learns on is paid again"
    assert "in the first 50% of its time" in agent.supervision
    agent.learn(128)
    assert weights[32:] == [1.0] * 8 + [0.0] * 8


def test_a_budget_that_ends_in_the_first_part_ends_there():
    env = env_of()
    agent = PPOAgent(env, process_share=0.5, n_steps=8, batch_size=64)
    agent.learn(256, progress=lambda frames: frames < 64)
    assert agent.model.num_timesteps < 128
    assert env.batch.process_weight == 1


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5])
def test_a_share_lies_in_0_to_1(share):
    with pytest.raises(ValueError, match="process_share"):
        PPOAgent(env_of(), process_share=share)
