"""FlattenTokens and EmbedObservation: contracts, values by hand, single = vector."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import reasongym  # noqa: F401
from reasongym.wrappers import EmbedObservation, FlattenTokens, VectorEmbedObservation, VectorFlattenTokens

ID = "ReasonGym-bAbI-qa2-v0"
SMALL = {"num_problems": 50, "memory_slots": 3, "chain_length": 4, "difficulty": {"max_units": 6}}
PAIRS = [
    (lambda e: FlattenTokens(e), lambda v: VectorFlattenTokens(v)),
    (lambda e: FlattenTokens(e, mask="info"), lambda v: VectorFlattenTokens(v, mask="info")),
    (lambda e: EmbedObservation(e, dimensions=16), lambda v: VectorEmbedObservation(v, dimensions=16)),
]


def leaves(observation):
    return observation if isinstance(observation, dict) else {"": observation}


@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version")
@pytest.mark.parametrize("single", [pair[0] for pair in PAIRS])
def test_gymnasium_contract(single):
    check_env(single(gym.make(ID, **SMALL)), skip_render_check=True)


@pytest.mark.parametrize(("single", "vector"), PAIRS)
def test_a_vector_sees_what_single_environments_see(single, vector):
    together = vector(gym.make_vec(ID, num_envs=3, **SMALL))
    alone = [single(gym.make(ID, **SMALL)) for _ in range(3)]
    expected = [env.reset(seed=5, options={"env_index": i}) for i, env in enumerate(alone)]
    observations, infos = together.reset(seed=5)
    assert observations in together.observation_space
    draws, ended = np.random.default_rng(0), np.zeros(3, bool)
    for _ in range(30):
        for i in range(3):
            for key, value in leaves(expected[i][0]).items():
                np.testing.assert_array_equal(leaves(observations)[key][i], value)
        actions = np.array([draws.choice(np.flatnonzero(info["action_mask"])) for _, info in expected])
        observations, _, terminated, _, infos = together.step(actions)
        for i, env in enumerate(alone):
            if ended[i]:
                expected[i] = env.reset()
            else:
                observation, *_, info = env.step(actions[i])
                expected[i] = (observation, info)
        ended = terminated
    assert "action_mask" in infos


@pytest.mark.parametrize("vector", [pair[1] for pair in PAIRS])
def test_final_observations_are_transformed_too(vector):
    env = vector(gym.make_vec(ID, num_envs=4, autoreset_mode=gym.vector.AutoresetMode.SAME_STEP, **SMALL))
    _, infos = env.reset(seed=0)
    draws = np.random.default_rng(1)
    for _ in range(60):
        actions = np.array([draws.choice(np.flatnonzero(mask)) for mask in infos["action_mask"]])
        _, _, terminated, _, infos = env.step(actions)
        if terminated.any():
            i = int(np.flatnonzero(terminated)[0])
            final = infos["final_obs"]
            row = {k: v[i] for k, v in final.items()} if isinstance(final, dict) else final[i]
            assert row in env.single_observation_space
            return
    raise AssertionError("no episode ended")


def test_flat_parts_are_the_observation():
    raw, flat = gym.make(ID, **SMALL), FlattenTokens(gym.make(ID, **SMALL))
    for env in (raw, flat):
        env.reset(seed=1)
    for _ in range(4):
        observation, *_ = raw.step(1)
        row, *_ = flat.step(1)
        assert set(row) == {"observations", "action_mask"}
        assert set(flat.parts) == set(observation) - {"action_mask"}
        for key in flat.parts:
            np.testing.assert_array_equal(flat.unflatten(row["observations"], key), observation[key].astype(np.float32))
    assert flat.unflatten(np.stack([row["observations"]] * 2), "memory").shape == (2, *observation["memory"].shape)
    np.testing.assert_array_equal(row["action_mask"], observation["action_mask"])
    assert flat.unwrapped.action_masks().sum() == row["action_mask"].sum()


def test_the_mask_can_stay_in_info():
    env = FlattenTokens(gym.make(ID, **SMALL), mask="info")
    observation, info = env.reset(seed=1)
    assert isinstance(env.observation_space, gym.spaces.Box)
    assert observation.shape == env.observation_space.shape
    assert info["action_mask"].sum() == 2


def test_bags_of_words():
    raw, exact = gym.make(ID, **SMALL), EmbedObservation(gym.make(ID, **SMALL), dimensions=157)
    for env in (raw, exact):
        env.reset(seed=3)
    for action in (1, 2, 0):
        observation, *_ = raw.step(action)
        features, *_ = exact.step(action)
    for key, tokens in (("question", observation["question"]), ("unit", observation["unit"])):
        counts = np.bincount(tokens, minlength=157).astype(float)
        counts[0] = 0
        np.testing.assert_allclose(features[key], counts / np.linalg.norm(counts), rtol=1e-6)
    first = features["memory"][0]
    np.testing.assert_allclose(features["matches"][0], [first @ features["question"], 0], atol=1e-6)
    np.testing.assert_allclose(features["matches"][3], [features["unit"] @ features["question"], 0], atol=1e-6)
    assert (features["memory"][2] == 0).all(), "an empty slot"
    np.testing.assert_array_equal(features["memory_features"], observation["memory_features"])


def test_the_last_link_of_the_chain():
    env = EmbedObservation(gym.make(ID, **SMALL), dimensions=157)
    env.reset(seed=3)
    reading, slots, stored = 1.0, 3, 0
    while reading:
        stored += 1
        features, *_ = env.step(stored if stored <= slots else 0)
        reading = features["progress"][2]
    for k in (2, 1):
        features, *_ = env.step(2 * slots + k)
        np.testing.assert_array_equal(features["last_link"], features["memory"][k - 1])
    both = features["memory"][0] + features["memory"][1]
    assert features["chain"] @ both / np.linalg.norm(both) == pytest.approx(1, abs=0.05)
    assert features["matches"][0, 1] == pytest.approx(1, abs=1e-6)


def test_hashing_keeps_lengths_and_is_the_same_everywhere():
    env = EmbedObservation(gym.make(ID, **SMALL), dimensions=8)
    features, _ = env.reset(seed=0)
    assert np.linalg.norm(features["unit"]) == pytest.approx(1, abs=1e-6)
    assert env.observation_space["memory"].shape == (3, 8)


def test_without_slots_or_chain():
    env = EmbedObservation(gym.make(ID, **{**SMALL, "memory_slots": 0, "chain_length": 0}), dimensions=8)
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space
    flat = FlattenTokens(gym.make(ID, **{**SMALL, "memory_slots": 0, "chain_length": 0}))
    assert flat.reset(seed=0)[0] in flat.observation_space


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: FlattenTokens(gym.make("CartPole-v1")), TypeError, "FlattenTokens wraps a ReasonGym environment"),
        (
            lambda: FlattenTokens(gym.make(ID, **SMALL), mask="inf"),
            ValueError,
            "unknown place of the mask 'inf': did you mean 'info'",
        ),
        (lambda: EmbedObservation(gym.make(ID, **SMALL), dimensions=0), ValueError, "at least 1, got 0"),
        (lambda: FlattenTokens(gym.make(ID, **SMALL)).unflatten(np.zeros(3), "memry"), ValueError, "did you mean 'memory'"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()
