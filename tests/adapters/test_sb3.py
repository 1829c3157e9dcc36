"""Stable-Baselines3 and sb3-contrib: the checker, their trainers as they are, and the vector bit for bit."""

from __future__ import annotations

import warnings

import gymnasium as gym
import numpy as np
import pytest

import reasongym  # noqa: F401
from reasongym.envs import ReasonGymEnv, ReasonGymVectorEnv
from reasongym.registration import IDS

pytest.importorskip("stable_baselines3")

from sb3_contrib import MaskablePPO, RecurrentPPO
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.env_util import make_vec_env as sb3_make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import SubprocVecEnv, VecMonitor

from reasongym.adapters.sb3 import ReasonGymVecEnv, make_vec_env

QA1 = "ReasonGym-bAbI-qa1-v0"
TWO_DIMENSIONAL = "unconventional shape"
TRAINERS = {
    "PPO": (PPO, "MultiInputPolicy"),
    "MaskablePPO": (MaskablePPO, "MultiInputPolicy"),
    "RecurrentPPO": (RecurrentPPO, "MultiInputLstmPolicy"),
}


@pytest.mark.parametrize("env_id", IDS)
def test_checker(env_id):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=f".*{TWO_DIMENSIONAL}")
        check_env(gym.make(env_id).unwrapped, skip_render_check=True)


@pytest.mark.parametrize("keywords", [{"memory_slots": 0}, {"chain_length": 0}], ids=str)
def test_checker_without_slots_or_links(keywords):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=f".*{TWO_DIMENSIONAL}")
        check_env(gym.make(QA1, **keywords).unwrapped, skip_render_check=True)


@pytest.mark.parametrize(
    "keywords",
    [
        {"tasks": (1, 2)},
        {"tasks": (2,), "prm": "lexical", "observer": "lexical", "gate": "salience", "memory_slots": 3},
        {"tasks": (3,), "max_episode_steps": 9},
        {"tasks": (1,), "num_problems": None, "threads": 2},
    ],
    ids=["compiled", "numpy", "truncated", "endless"],
)
def test_vec_env_is_the_vector(keywords):
    n, seed = 5, 17
    vector = ReasonGymVectorEnv(num_envs=n, autoreset_mode="SameStep", **keywords)
    venv = ReasonGymVecEnv(ReasonGymVectorEnv(num_envs=n, **keywords))
    venv.seed(seed)
    expected, _ = vector.reset(seed=seed)
    observation, draw, episodes = venv.reset(), np.random.default_rng(0), 0
    for _ in range(150):
        assert all(np.array_equal(observation[key], expected[key]) for key in expected)
        assert np.array_equal(venv.action_masks(), vector.action_masks())
        actions = (draw.random((n, vector.single_action_space.n)) * expected["action_mask"]).argmax(1)
        expected, reward, terminated, truncated, told = vector.step(actions)
        observation, rewards, dones, infos = venv.step(actions)
        assert np.array_equal(rewards, reward.astype(np.float32))
        assert np.array_equal(dones, terminated | truncated)
        for i in range(n):
            if not dones[i]:
                assert infos[i] == {}
                continue
            episodes += 1
            final = {key: value[i] for key, value in told["final_obs"].items()}
            assert all(np.array_equal(infos[i]["terminal_observation"][key], final[key]) for key in final)
            assert infos[i]["TimeLimit.truncated"] == (truncated[i] and not terminated[i])
            assert set(infos[i]["episode"]) == {"r", "l", "t"}
            if terminated[i]:
                assert infos[i]["episode"]["r"] == told["final_info"]["episode_return"][i]
                for key in ("answer", "gold", "is_success", "problem", "episode_length", "out_of_steps"):
                    assert infos[i][key] == told["final_info"][key][i], key
    assert episodes > n


def test_truncated_episodes_report_their_own_numbers():
    keywords = {"tasks": (3,), "max_episode_steps": 4}
    venv = make_vec_env("ReasonGym-bAbI-v0", n_envs=1, seed=0, **keywords)
    single = ReasonGymEnv(tasks=(3,))
    single.reset(seed=0)
    venv.reset()
    for episode in range(3):
        single.reset(seed=0, options={"episode": episode})
        problem = single.batch.memory.state["problem"][0]
        total = 0.0
        for _ in range(4):
            total += single.step(1)[1]
            _, _, dones, infos = venv.step(np.array([1]))
        assert dones[0]
        assert infos[0]["TimeLimit.truncated"] is True
        assert infos[0]["problem"] == problem
        assert infos[0]["answer"] == ""
        assert infos[0]["gold"] == single.source.problem(int(problem)).answers[0]
        assert infos[0]["is_success"] is False
        assert infos[0]["episode"]["l"] == 4
        assert infos[0]["episode"]["r"] == pytest.approx(total)
        assert 0 <= infos[0]["capture"] <= 1
        assert infos[0]["evidence_recall"] == 0


def test_methods_and_attributes_that_sb3_asks_for():
    venv = make_vec_env(QA1, n_envs=3, seed=0)
    venv.reset()
    assert is_masking_supported(venv)
    assert np.array_equal(get_action_masks(venv), venv.action_masks())
    assert np.array_equal(np.stack([method() for method in venv.get_attr("action_masks")]), venv.action_masks())
    assert np.array_equal(venv.env_method("action_masks", indices=[2])[0], venv.action_masks()[2])
    assert len(venv.env_method("expert_action")) == 3
    assert venv.env_is_wrapped(Monitor) == [True] * 3
    assert not venv.has_attr("no_such_thing")
    with pytest.raises(AttributeError, match="cannot be set"):
        venv.set_attr("memory_slots", 3)


def test_reset_options_by_environment():
    venv, single = make_vec_env(QA1, n_envs=2, seed=0), gym.make(QA1)
    venv.set_options([{"problem": 5}, {"problem": 8}])
    observation = venv.reset()
    for i, problem in enumerate((5, 8)):
        expected, _ = single.reset(options={"problem": problem})
        assert all(np.array_equal(observation[key][i], expected[key]) for key in expected)
    venv.set_options([{}, {"problem": 8}])
    assert np.array_equal(venv.reset()["unit"][1], observation["unit"][1])


def test_stepping_before_reset():
    with pytest.raises(gym.error.ResetNeeded, match=r"call reset\(\) before step\(\)"):
        make_vec_env(QA1, n_envs=2).step(np.zeros(2, int))


def test_other_ids_are_refused():
    with pytest.raises(TypeError, match="is no ReasonGym id"):
        make_vec_env("CartPole-v1", n_envs=2)


def test_states_go_in_and_out():
    venv = make_vec_env(QA1, n_envs=2, seed=0)
    venv.reset()
    venv.step(np.array([1, 0]))
    state = venv.get_state()
    expected = [venv.step(np.array([0, 1]))[0] for _ in range(3)]
    venv.set_state(state)
    for wanted in expected:
        seen = venv.step(np.array([0, 1]))[0]
        assert all(np.array_equal(seen[key], wanted[key]) for key in wanted)


def test_a_state_is_not_undone_by_the_seed_of_fresh_environments():
    venv = make_vec_env(QA1, n_envs=2, seed=0)
    venv.reset()
    for _ in range(2):
        state, wanted = venv.get_state(), venv.reset()
    fresh = make_vec_env(QA1, n_envs=2, seed=0)
    fresh.set_state(state)
    seen = fresh.reset()
    assert all(np.array_equal(seen[key], wanted[key]) for key in wanted)


@pytest.mark.parametrize("name", TRAINERS)
@pytest.mark.parametrize("vector", ["adapter", "DummyVecEnv"])
def test_trainers_as_they_are(name, vector):
    trainer, policy = TRAINERS[name]
    venv = make_vec_env(QA1, n_envs=4, seed=0) if vector == "adapter" else sb3_make_vec_env(QA1, n_envs=2, seed=0)
    small = {"net_arch": [16]} | ({"lstm_hidden_size": 16} if name == "RecurrentPPO" else {})
    model = trainer(policy, venv, n_steps=32, batch_size=32, n_epochs=1, policy_kwargs=small, seed=0, device="cpu")
    model.learn(256)
    assert model.num_timesteps >= 256
    assert len(model.ep_info_buffer) > 0
    if vector == "adapter" and name == "PPO":
        mean, _ = evaluate_policy(model, make_vec_env(QA1, n_envs=2, seed=1), n_eval_episodes=4)
        assert np.isfinite(mean)


def test_monitors_and_processes():
    with pytest.warns(UserWarning, match="already wrapped"):  # its episodes are reported as a Monitor would
        venv = VecMonitor(make_vec_env(QA1, n_envs=2, seed=0))
    venv.reset()
    done = False
    while not done:
        mask = venv.env_method("action_masks")
        _, _, dones, infos = venv.step(np.array([np.flatnonzero(own)[-1] for own in mask]))
        done = dones.any()
    assert infos[int(np.argmax(dones))]["episode"]["l"] > 0
    processes = SubprocVecEnv([lambda: gym.make(f"reasongym:{QA1}")] * 2)
    processes.seed(4)
    seen, alone = processes.reset(), gym.make(QA1)
    expected, _ = alone.reset(seed=4)
    assert all(np.array_equal(seen[key][0], expected[key]) for key in expected)
    processes.step(np.zeros(2, int))
    processes.close()
