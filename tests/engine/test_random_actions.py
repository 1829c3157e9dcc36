"""A million random actions, legal and illegal, over all tasks: nothing breaks, and rewards keep their bounds."""

from __future__ import annotations

import gymnasium as gym
import numpy as np

import reasongym  # noqa: F401

STEP_BOUNDS = (-0.45, 1.2)
"""Default rewards. Lowest: the recall of stale, unlinked, useless content where m = 1: -0.2 logic - 0.1 coherence - 0.15 goal
(a dropped fact costs 0.3 at most, a wrong answer 0.3, an illegal action 0.05). Highest: right with proof, 1 + 0.2."""
HIGHEST_RETURN = 1.8
"""1 outcome + 0.2 logic + 0.3 goal + 0.3 memory."""
NUM_ENVS, STEPS, EPSILON = 500, 2_000, 1e-6


def lowest_return(info, ended, links=10):
    """Every recall at its worst, a wrong answer of another kind in spite of proof, and illegal actions in all other steps.

    What memory holds costs nothing in the end: its terms add up to the share held."""
    return -0.45 * links - 0.3 - 0.05 * info["episode_length"][ended]


def test_a_million_random_actions():
    env = gym.make_vec("ReasonGym-bAbI-v0", num_envs=NUM_ENVS, num_problems=2_000)
    draw = np.random.default_rng(0)
    observation, info = env.reset(seed=0)
    low, high, episodes, illegal, answered = np.inf, -np.inf, 0, 0, 0
    space = env.observation_space
    for t in range(STEPS):
        legal = observation["action_mask"] * draw.random(observation["action_mask"].shape)
        anything = draw.integers(env.single_action_space.n, size=NUM_ENVS)
        few = draw.random(NUM_ENVS) < 0.3
        observation, reward, terminated, truncated, info = env.step(np.where(few, anything, legal.argmax(1)))
        assert np.isfinite(reward).all()
        low, high = min(low, reward.min()), max(high, reward.max())
        terms = sum(info["reward_terms"][name] for name in ("logic", "coherence", "goal", "outcome", "validity", "memory"))
        assert np.abs(terms - reward).max() <= EPSILON
        for key in ("memory_positions", "memory_features", "chain_positions", "scores", "progress"):
            assert not np.isnan(observation[key]).any(), key
        if t % 50 == 0:
            assert observation in space
        assert not truncated.any()
        illegal += int(info.get("_invalid_action", np.zeros(1)).sum())
        if terminated.any():
            episodes += int(terminated.sum())
            answered += int((terminated & (info["is_success"])).sum())
            assert (info["episode_return"][terminated] <= HIGHEST_RETURN + EPSILON).all()
            assert (info["episode_return"][terminated] >= lowest_return(info, terminated)).all()
    assert low >= STEP_BOUNDS[0] - EPSILON
    assert high <= STEP_BOUNDS[1] + EPSILON
    assert episodes > 10_000
    assert illegal > 100_000
    assert 0 < answered < episodes / 5
