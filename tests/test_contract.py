"""The contract of every id: Gymnasium's checker, determinism, and one environment = a vector = an SB3 vector, bit for bit."""

from __future__ import annotations

import subprocess
import sys
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import reasongym  # noqa: F401
from reasongym.envs import ReasonGymEnv, ReasonGymVectorEnv
from reasongym.prm.annotated import AnnotatedPRM
from reasongym.registration import IDS

JOINT = "ReasonGym-bAbI-v0"


class SameTable(AnnotatedPRM):
    """The default PRM as an object of the user's: the engine does not recognise it and asks it for scores."""


class Memory:
    """A PRM that scores a step by how often the episode acted like that before: it needs its carry."""

    criteria, needs_annotation, version, default_beta, carry_size = ("habit",), False, "1", {"habit": 0.5}, 6

    def score(self, steps):
        steps.carry[np.arange(len(steps)), steps.kind] += 1
        return np.minimum(steps.carry[np.arange(len(steps)), steps.kind] / 100, 1)[:, None]


class OldestOpen:
    """A gate that leaves only the slot that was stored first open to store."""

    needs_annotation = False

    def masks(self, view):
        masks = np.ones((len(view.problem), 3, view.units.shape[1]), bool)
        masks[:, 0] = np.arange(view.units.shape[1]) == np.argmin(view.stored_at, axis=1)[:, None]
        return masks


class Fullness:
    """A utility: the share of slots that hold something."""

    needs_annotation = False

    def value(self, view):
        return (view.units >= 0).any(2).mean(1)


VARIANTS = {
    "compiled": {},
    "numpy": {"prm": "lexical"},
    "object": {"prm": SameTable()},
    "carry": {"prm": Memory(), "utility": "use"},
    "observer and gate": {"observer": "lexical", "gate": "salience", "memory_slots": 3},
    "own gate and utility": {"gate": OldestOpen(), "utility": Fullness(), "memory_slots": 3},
    "answerability": {"utility": "answerability"},
    "prudence": {"utility": "prudence", "memory_slots": 3},
    "compiled gate": {"gate": "salience", "memory_slots": 2, "question_at": "end", "reason_when": "any"},
    "endless": {"num_problems": None},
    "small": {"num_problems": 3, "memory_slots": 0, "chain_length": 0},
}


def policy(mask, seed, env_index, episode, step):
    """A random action that depends on nothing but its arguments: mostly legal, sometimes not."""
    draw = np.random.default_rng([seed, env_index, episode, step])
    if draw.random() < 0.1:
        return int(draw.integers(len(mask)))
    legal = np.flatnonzero(mask)
    return int(legal[0] if draw.random() < 0.3 else draw.choice(legal))


def single_trajectory(env, seed, env_index, steps):
    """Observation, reward, terms, ended: step by step; resets are no steps."""
    out, episode = [], 0
    observation, _ = env.reset(seed=seed, options={"env_index": env_index})
    first, t = observation, 0
    while len(out) < steps:
        observation, reward, terminated, _, info = env.step(policy(observation["action_mask"], seed, env_index, episode, t))
        out.append((first, observation, reward, info["reward_terms"], info["prm_scores"], terminated, info.get("problem")))
        t, first = t + 1, None
        if terminated:
            observation, _ = env.reset()
            first, episode, t = observation, episode + 1, 0
    return out


def row(observation, i):
    return {key: value[i].copy() for key, value in observation.items()}


def vector_trajectories(env, seed, steps, step=None):
    """The same of every environment of a vector, whatever its autoreset mode."""
    n, mode = env.num_envs, env.autoreset_mode
    observation, _ = env.reset(seed=seed)
    out = [[] for _ in range(n)]
    first, episode, t = [row(observation, i) for i in range(n)], np.zeros(n, int), np.zeros(n, int)
    resetting = np.zeros(n, bool)
    while min(map(len, out)) < steps:
        actions = np.array([policy(observation["action_mask"][i], seed, i, episode[i], t[i]) for i in range(n)])
        observation, reward, terminated, truncated, info = env.step(actions)
        seen = info["final_obs"] if "final_obs" in info and terminated.any() else observation
        told = info.get("final_info", info)
        for i in range(n):
            if resetting[i]:
                assert reward[i] == 0
                assert not terminated[i]
                first[i] = row(observation, i)
                continue
            terms = {k: v[i] for k, v in told["reward_terms"].items() if not k.startswith("_")}
            scores = {k: v[i] for k, v in told["prm_scores"].items() if not k.startswith("_")}
            at = seen if terminated[i] else observation
            problem = told["problem"][i] if terminated[i] else None
            out[i].append((first[i], row(at, i), reward[i], terms, scores, terminated[i], problem))
            first[i], t[i] = None, t[i] + 1
        episode, t = episode + terminated, np.where(terminated, 0, t)
        resetting = terminated & (mode == AutoresetMode.NEXT_STEP)
        if mode == AutoresetMode.DISABLED and terminated.any():
            observation, _ = env.reset(options={"reset_mask": terminated})
        if mode != AutoresetMode.NEXT_STEP:
            for i in np.flatnonzero(terminated):
                first[i] = row(observation, i)
    return out


def assert_same(a, b, where):
    for t, (x, y) in enumerate(zip(a, b, strict=False)):
        for seen, other in zip(x[:2], y[:2], strict=True):
            assert (seen is None) == (other is None), f"{where}, step {t}"
            for key in seen or ():
                assert seen[key].dtype == other[key].dtype
                assert np.array_equal(seen[key], other[key]), f"{key}, {where}, step {t}"
        assert x[2] == y[2], f"reward, {where}, step {t}"
        for these, those in zip(x[3:5], y[3:5], strict=True):
            assert list(these) == list(those)
            assert np.array_equal(list(these.values()), list(those.values()), equal_nan=True), f"{where}, step {t}"
        assert x[5] == y[5]
        assert x[6] == y[6]


@pytest.mark.parametrize("env_id", IDS)
def test_gymnasium_checker(env_id):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(env_id).unwrapped, skip_render_check=True)


@pytest.mark.parametrize(
    "keywords", [{"memory_slots": 0}, {"chain_length": 0}, {"memory_slots": 0, "chain_length": 0}], ids=str
)
def test_gymnasium_checker_without_slots_or_links(keywords):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(JOINT, **keywords).unwrapped, skip_render_check=True)


def test_gymnasium_checker_renders():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(JOINT, render_mode="ansi").unwrapped)


@pytest.mark.parametrize("env_id", IDS)
def test_make_vec(env_id):
    env = gym.make_vec(env_id, num_envs=3)
    assert isinstance(env, ReasonGymVectorEnv)
    observation, info = env.reset(seed=1)
    assert observation in env.observation_space
    assert info["action_mask"] is observation["action_mask"]
    observation, reward, *_ = env.step(np.zeros(3, int))
    assert observation in env.observation_space
    assert reward.dtype == np.float64


def test_make_without_importing_the_package():
    code = f"import gymnasium; e = gymnasium.make('reasongym:{JOINT}'); print(e.reset(seed=0)[0]['question'].any())"
    done = subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "True"


@pytest.mark.parametrize("env_id", IDS)
def test_same_seed_same_episodes(env_id):
    a, b, c = (single_trajectory(gym.make(env_id).unwrapped, seed, 0, 60) for seed in (5, 5, 6))
    assert_same(a, b, env_id)
    assert any(
        x[2] != y[2] or x[6] != y[6] or not np.array_equal(x[1]["unit"], y[1]["unit"]) for x, y in zip(a, c, strict=True)
    )


@pytest.mark.parametrize("env_id", IDS)
def test_single_is_vector(env_id):
    single, steps = gym.make(env_id).unwrapped, 50
    rows = vector_trajectories(gym.make_vec(env_id, num_envs=3), 11, steps)
    for i in (0, 2):
        assert_same(single_trajectory(single, 11, i, steps), rows[i], f"environment {i}")


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("name", VARIANTS)
def test_single_is_vector_in_every_variant(name, mode):
    keywords, steps = {"tasks": (2, 15, 20), **VARIANTS[name]}, 60
    single = ReasonGymEnv(**keywords)
    rows = vector_trajectories(ReasonGymVectorEnv(num_envs=4, autoreset_mode=mode, **keywords), 3, steps)
    for i in (0, 3):
        assert_same(single_trajectory(single, 3, i, steps), rows[i], f"{name}, environment {i}")


@pytest.mark.parametrize("name", ["compiled", "numpy", "observer and gate"])
def test_episodes_depend_on_neither_their_number_nor_threads_nor_copies(name):
    keywords = {"tasks": (1, 7), **VARIANTS[name]}
    expected = vector_trajectories(ReasonGymVectorEnv(num_envs=1, **keywords), 8, 60)[0]
    for more in ({"num_envs": 3}, {"num_envs": 64, "threads": 2}, {"num_envs": 5, "threads": 2, "copy": False}):
        assert_same(expected, vector_trajectories(ReasonGymVectorEnv(**more, **keywords), 8, 60)[0], f"{name}, {more}")


def test_published_single_is_vector(published):
    keywords = {"tasks": (1, 2), "source": published, "split": "validation"}
    rows = vector_trajectories(ReasonGymVectorEnv(num_envs=3, **keywords), 2, 120)
    for i in range(3):
        assert_same(single_trajectory(ReasonGymEnv(**keywords), 2, i, 120), rows[i], f"environment {i}")


def test_options_address_any_episode():
    vector = ReasonGymVectorEnv(num_envs=4, tasks=(3,))
    rows = vector_trajectories(vector, 21, 250)
    ends = [t for t, step in enumerate(rows[2]) if step[5]]
    assert len(ends) >= 2
    episode = rows[2][ends[0] + 1]
    single = ReasonGymEnv(tasks=(3,))
    observation, _ = single.reset(seed=21, options={"env_index": 2, "episode": 1})
    assert all(np.array_equal(observation[key], episode[0][key]) for key in observation)
    single.reset()
    again, _ = single.reset(options={"env_index": 2, "episode": 1})
    assert all(np.array_equal(observation[key], again[key]) for key in observation)


def test_options_name_problems():
    vector, single = ReasonGymVectorEnv(num_envs=3, tasks=(2,)), ReasonGymEnv(tasks=(2,))
    observation, _ = vector.reset(seed=0, options={"problem": np.array([7, 99_999, 7])})
    for i, problem in enumerate((7, 99_999, 7)):
        alone, _ = single.reset(options={"problem": problem})
        assert all(np.array_equal(alone[key], observation[key][i]) for key in alone)
    everywhere, _ = vector.reset(options={"problem": 7})
    assert all(np.array_equal(everywhere["unit"][i], observation["unit"][0]) for i in range(3))
    for bad in (100_000, -2):
        with pytest.raises(IndexError, match="must lie in"):
            single.reset(options={"problem": bad})


def test_a_named_problem_does_not_disturb_the_order():
    a, b = ReasonGymEnv(tasks=(2,)), ReasonGymEnv(tasks=(2,))
    a.reset(seed=4), b.reset(seed=4)
    a.reset(options={"problem": 3})
    b.reset()
    x, _ = a.reset()
    y, _ = b.reset()
    assert all(np.array_equal(x[key], y[key]) for key in x)


def test_reset_mask_leaves_the_others_alone():
    env = ReasonGymVectorEnv(num_envs=3, tasks=(2,), autoreset_mode="Disabled")
    env.reset(seed=0)
    before = env.step(np.zeros(3, int))[0]
    after, _ = env.reset(options={"reset_mask": np.array([False, True, False])})
    for key, value in after.items():
        assert np.array_equal(value[[0, 2]], before[key][[0, 2]])
    assert after["progress"][1, 0] == 0 < before["progress"][1, 0]


def test_copies_and_buffers():
    env = ReasonGymVectorEnv(num_envs=2, tasks=(2,), copy=True)
    first, _ = env.reset(seed=0)
    kept = {key: value.copy() for key, value in first.items()}
    env.step(np.zeros(2, int))
    assert all(np.array_equal(first[key], kept[key]) for key in first)
    env = ReasonGymVectorEnv(num_envs=2, tasks=(2,), copy=False)
    first, _ = env.reset(seed=0)
    second = env.step(np.zeros(2, int))[0]
    assert all(first[key] is second[key] or np.shares_memory(first[key], second[key]) for key in first if first[key].size)


@pytest.mark.parametrize("copy", [True, False])
def test_same_step_hands_out_the_final_observation(copy):
    keywords = {"tasks": (1,), "autoreset_mode": "SameStep", "copy": copy}
    env, single = ReasonGymVectorEnv(num_envs=2, max_steps=3, **keywords), ReasonGymEnv(tasks=(1,), max_steps=3)
    env.reset(seed=0)
    single.reset(seed=0)
    for _ in range(3):
        observation, _, terminated, _, info = env.step(np.ones(2, int))
        final, _, _, _, told = single.step(1)
    assert terminated.all()
    assert all(np.array_equal(info["final_obs"][key][0], final[key]) for key in final)
    assert np.array_equal(info["final_info"]["action_mask"][0], final["action_mask"])
    assert info["final_info"]["answer"][0] == told["answer"] == ""
    assert info["final_info"]["gold_choice"][0] == told["gold_choice"]
    fresh, start = single.reset()
    assert all(np.array_equal(observation[key][0], fresh[key]) for key in fresh)
    assert info["gold_choice"][0] == start["gold_choice"]
    assert np.array_equal(info["action_mask"][0], fresh["action_mask"])


def test_truncation_from_outside_is_the_same_in_a_vector():
    single = gym.make("ReasonGym-bAbI-qa2-v0", max_episode_steps=5)
    vector = gym.make_vec("ReasonGym-bAbI-qa2-v0", num_envs=2, max_episode_steps=5)
    x, _ = single.reset(seed=9)
    y, _ = vector.reset(seed=9)
    for _ in range(4):
        for _ in range(5):
            x, reward, terminated, truncated, _ = single.step(1)
            y, rewards, terminations, truncations, _ = vector.step(np.ones(2, int))
            assert (reward, terminated, truncated) == (rewards[0], terminations[0], truncations[0])
            assert all(np.array_equal(x[key], y[key][0]) for key in x)
        assert truncated
        x, _ = single.reset()
        y = vector.step(np.ones(2, int))[0]
        assert all(np.array_equal(x[key], y[key][0]) for key in x)


def test_an_answer_on_the_last_step_of_the_time_limit():
    keywords = {"max_episode_steps": 1, "tasks": (2,), "reason_when": "any"}
    single, vector = gym.make(JOINT, **keywords), gym.make_vec(JOINT, num_envs=1, **keywords)
    single.reset(seed=0), vector.reset(seed=0)
    answer = single.action_space.n - 1
    _, _, terminated, truncated, _ = single.step(answer)
    _, _, terminations, truncations, _ = vector.step(np.array([answer]))
    assert (terminated, truncated) == (terminations[0], truncations[0])


def test_gold_is_told_on_the_training_split_only():
    for split in ("train", "validation", "test", "ood"):
        env, vector = ReasonGymEnv(tasks=(1,), split=split), ReasonGymVectorEnv(num_envs=2, tasks=(1,), split=split)
        told = ("gold_choice" in env.reset(seed=0)[1], "gold_choice" in vector.reset(seed=0)[1])
        assert told == (split == "train",) * 2
    env = ReasonGymEnv(tasks=(1,))
    _, info = env.reset(seed=0)
    problem = env.source.problem(int(env.batch.memory.state["problem"][0]))
    assert env.choices[info["gold_choice"]] == problem.answers[0]


@pytest.mark.parametrize("name", ["compiled", "endless"])
def test_gold_choice_is_of_the_problem_being_played(name):
    """Also in the step that ends an episode."""
    keywords = {"tasks": (1,), "reason_when": "any", **VARIANTS[name]}
    single, vector = ReasonGymEnv(**keywords), ReasonGymVectorEnv(num_envs=1, **keywords)
    single.reset(seed=0), vector.reset(seed=0)
    for _ in range(20):
        *_, info = single.step(single.action_space.n - 1)
        *_, infos = vector.step(np.array([single.action_space.n - 1]))
        assert info["gold_choice"] == infos["gold_choice"][0] == single.choices.index(infos["gold"][0])
        _, info = single.reset()
        *_, infos = vector.step(np.array([0]))
        assert info["gold_choice"] == infos["gold_choice"][0]
