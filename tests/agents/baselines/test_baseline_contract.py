"""The contract of an agent, for every registered baseline, and the way somebody else's is found."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import PPO

from agents.base import SB3Agent, agent_class, evaluate
from agents.baselines import BASELINES, baseline, make
from agents.baselines.settings import matched_core_size, memory_ppo, num_parameters
from agents.baselines.supervised_memory import NETWORKS
from agents.budget import Budget
from reasongym.adapters.sb3 import make_vec_env
from reasongym.adapters.sb3_observations import EmbedVecEnv
from reasongym.errors import UnknownNameError

ID = "ReasonGym-bAbI-qa1-v0"
TINY = {"difficulty": {"max_units": 2}, "memory_slots": 2, "num_problems": 64}
NETS = {*NETWORKS, "entnet-support"} | {name for name, row in BASELINES.items() if "network" in row.options}


def env_of(name: str, n_envs: int = 4, **changes):
    return make_vec_env(ID, n_envs, seed=0, **{**TINY, **BASELINES[name].keywords, **changes})


def options(name: str) -> dict:
    """What makes a row small."""
    if name in NETS:
        return {"problems": 40, "training": {"epochs": 1}}
    small = {"n_steps": 8, "batch_size": 32, "n_epochs": 1, "policy_kwargs": {"core_size": 8, "size": 16}}
    if name.startswith("rlhf"):
        small |= {"rounds": 1, "pairs": 12} | ({"label_budget": 24} if name == "rlhf" else {})
    return small if BASELINES[name].agent.__name__ in ("PPOAgent", "CloningAgent", "RLHFAgent") else {}


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_contract(name, tmp_path):
    env = env_of(name)
    told = []
    agent = make(name, env, seed=1, **options(name)).learn(200, progress=lambda frames: told.append(frames) or True)
    assert agent.supervision
    assert told == sorted(told)
    if name not in ("random", "expert"):
        assert told, "learning tells of its progress"
    played = make_vec_env(ID, 4, seed=5, split="validation", **{**TINY, **BASELINES[name].keywords})
    if hasattr(agent, "attach"):
        agent.attach(played)
    observation, state, start = played.reset(), None, np.ones(4, bool)
    for _ in range(12):
        actions, after = agent.act(observation, state, start, True)
        assert actions.shape == (4,)
        assert np.issubdtype(actions.dtype, np.integer)
        assert observation["action_mask"][np.arange(4), actions].all(), "only legal actions"
        again, _ = agent.act(observation, state, start, True)
        np.testing.assert_array_equal(actions, again, "acting changes neither agent nor state")
        fresh, _ = agent.act(observation, None, None, True)
        renewed, _ = agent.act(observation, after, np.ones(4, bool), True)
        np.testing.assert_array_equal(fresh, renewed, "an episode's start clears the state")
        state = after
        observation, _, start, _ = played.step(actions)
    agent.save(tmp_path / "agent.zip")
    loaded = type(agent).load(tmp_path / "agent.zip", env=env)
    if hasattr(loaded, "attach"):
        loaded.attach(played)
    observation = played.reset()
    np.testing.assert_array_equal(agent.act(observation)[0], loaded.act(observation)[0])
    with pytest.raises(ValueError, match=r"of other environments.*actions: Discrete\(\d+\), the environment has Discrete"):
        type(agent).load(tmp_path / "agent.zip", env=env_of(name, memory_slots=3))


@pytest.mark.parametrize("name", ["random", "tf-idf", "last-unit", "lru", "expert", "cloning", "entnet"])
def test_evaluation_plays_each_problem_once_whatever_the_number_of_environments(name):
    agent = make(name, env_of(name), **options(name)).learn(60)
    found = [evaluate(agent, ID, problems=11, num_envs=n, **TINY) for n in (3, 11)]
    assert found[0] == found[1]
    assert found[0].problems == 11
    if name == "expert":
        assert found[0].accuracy == 1.0


def test_an_agent_is_not_played_where_it_does_not_fit():
    agent = make("random", env_of("random"))
    with pytest.raises(ValueError, match=r"memory: \(2, 12\) of at most 156, the environment has \(3, 12\) of at most 156"):
        evaluate(agent, ID, problems=2, **{**TINY, "memory_slots": 3})


def test_any_sb3_model_is_an_agent(tmp_path):
    env = EmbedVecEnv(env_of("ppo"), dimensions=8)
    agent = SB3Agent(PPO("MultiInputPolicy", env, n_steps=8, batch_size=16, device="cpu", seed=0)).learn(64)
    observation = env.reset()
    actions, _ = agent.act(observation)
    agent.save(tmp_path / "ppo.zip")
    loaded = SB3Agent.load(tmp_path / "ppo.zip", env)
    assert type(loaded.model) is PPO
    np.testing.assert_array_equal(loaded.act(observation)[0], actions)
    loaded.model.save(tmp_path / "own.zip")
    PPO("MultiInputPolicy", env, n_steps=8, batch_size=16, device="cpu").save(tmp_path / "bare.zip")
    with pytest.raises(ValueError, match=r"was not written by SB3Agent\.save: wrap the loaded model"):
        SB3Agent.load(tmp_path / "bare.zip")


def test_masked_models_are_given_the_mask():
    contrib = pytest.importorskip("sb3_contrib")
    env = env_of("ppo")
    agent = SB3Agent(contrib.MaskablePPO("MultiInputPolicy", env, n_steps=8, batch_size=16, device="cpu", seed=0))
    observation = env.reset()
    for _ in range(20):
        actions, _ = agent.act(observation, deterministic=False)
        assert observation["action_mask"][np.arange(4), actions].all()
        observation, *_ = env.step(actions)


class Reads:
    """Somebody's agent: reads on, then gives the first answer."""

    def __init__(self, env, seed=0, device="cpu"):
        self.observation_space, self.action_space = env.observation_space, env.action_space

    def act(self, observation, state=None, episode_start=None, deterministic=True):
        first = 1 + 3 * observation["memory_features"].shape[1]
        return np.where(observation["progress"][:, 2] > 0, 0, first), None

    def learn(self, total_timesteps, *, seconds=None, progress=None):
        return self

    def save(self, path): ...

    @classmethod
    def load(cls, path, env=None, device="cpu"): ...


def test_somebody_elses_agent_by_import_path():
    agent = make(f"{__name__}:Reads", env_of("random"))
    assert evaluate(agent, ID, problems=20, **TINY).mean_length == pytest.approx(3, abs=1)


@pytest.mark.parametrize(
    ("path", "error", "words"),
    [
        ("agents.baselines.heuristics.Rule", ValueError, "an import path is 'pkg.module:Class', got"),
        ("no_such_package.mine:Agent", ModuleNotFoundError, "no module 'no_such_package', asked for by"),
        ("agents.baselines.heuristics:Rulez", UnknownNameError, r"unknown class of agents.*heuristics.*did you mean 'Rule'"),
        ("agents.baselines.heuristics:RULES", ValueError, "not a class"),
        ("agents.budget:Budget", TypeError, "is no agent: it has no act, learn, save, load"),
    ],
)  # fmt: skip
def test_import_paths_that_are_wrong_say_how(path, error, words):
    with pytest.raises(error, match=words):
        agent_class(path)


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"unknown agent 'dager': did you mean 'dagger'"):
        baseline("dager")
    with pytest.raises(UnknownNameError, match="unknown network 'entnett'"):
        make("entnet", env_of("entnet"), network="entnett")
    with pytest.raises(UnknownNameError, match="unknown rule 'fifoo'"):
        make("fifo", env_of("fifo"), rule="fifoo")
    with pytest.raises(UnknownNameError, match="unknown keyword"):
        evaluate(make("random", env_of("random")), ID, problems=1, memroy_slots=2)


def test_a_budget_by_hand():
    budget = Budget(100, progress=lambda frames: frames < 70)
    assert budget.spend(30)
    part = budget.part(0.25)
    assert part.total_timesteps == 25
    assert not part.spend(25)  # its own end; told of as 55
    assert budget.include(part)
    rest = budget.rest()
    assert rest.total_timesteps == 45
    assert not rest.spend(20)  # told of as 75: ends
    assert not budget.include(rest)
    assert budget.frames == 75
    assert Budget(100, seconds=0.0).spend(1) is False


def test_schedules_follow_the_seconds_that_are_left():
    model = memory_ppo(env_of("ppo"), n_steps=8, batch_size=32)
    model.share_left = lambda: 0.25
    model._update_current_progress_remaining(10, 100)
    assert model._current_progress_remaining == 0.25
    model._update_current_progress_remaining(90, 100)
    assert model._current_progress_remaining == 0.25, "of the whole, where this is a part"
    model.share_left = None
    model._update_current_progress_remaining(10, 100)
    assert model._current_progress_remaining == 0.9


def test_cores_are_matched_by_parameters():
    env = env_of("prm-only-no-memory")
    wanted = num_parameters(memory_ppo(env, core="lstm", policy_kwargs={"core_size": 11}))
    assert matched_core_size(env, wanted, core="lstm") == 11
    assert matched_core_size(env, wanted - 1, core="lstm") == 11
    assert matched_core_size(env, wanted + 1, core="lstm") == 12
    with pytest.raises(ValueError, match="fewer than the"):
        matched_core_size(env, wanted, most=4, core="lstm")


def test_a_match_counts_the_policy_that_is_played():
    """A narrow reader, one network for both heads: its own parameters count, not those of the default policy."""
    env = env_of("prm-only-no-memory")
    narrow = {"size": 16, "separate_critic": False}
    wanted = num_parameters(memory_ppo(env, core="gru", policy_kwargs={**narrow, "core_size": 23}))
    agent = make("ppo", env, core="gru", match=wanted, policy_kwargs=narrow)
    assert num_parameters(agent.model) == wanted
    for core in ({}, {"core": "slots"}, {"policy_kwargs": {"core": "none"}}):
        with pytest.raises(ValueError, match=r"and core='(none|slots)' has none: name one of gru, lstm, dnc, rmc"):
            make("ppo", env_of("ppo"), match=wanted, **core)


def test_a_loaded_agent_trains_with_the_feedback_that_it_was_trained_with(tmp_path):
    env = env_of("ppo")
    make("ppo", env, feedback=True, **options("ppo")).learn(64).save(tmp_path / "agent.zip")
    heard, hear = [], env.feedback
    env.feedback = lambda change: heard.append(change.copy()) or hear(change)
    loaded = baseline("ppo").agent.load(tmp_path / "agent.zip", env=env)
    loaded.learn(64)
    assert len(heard) >= 16, "every step is felt"
    assert np.abs(heard).max() > 0
    make("ppo", env, **options("ppo")).save(tmp_path / "plain.zip")
    heard.clear()
    baseline("ppo").agent.load(tmp_path / "plain.zip", env=env).learn(64)
    assert not heard


def test_an_expert_without_environments_says_so():
    env = env_of("expert")
    with pytest.raises(RuntimeError, match="attach"):
        make("expert", env).act(env.reset())


def test_rows_that_are_settings_pay_what_they_say():
    """prm-only pays no memory term, outcome-only nothing but the answer."""
    for name, terms in (("prm-only", {"memory"}), ("outcome-only", {"memory", "logic", "coherence", "goal", "validity"})):
        env = gym.make(ID, **{**TINY, **BASELINES[name].keywords})
        env.reset(seed=0)
        ended, paid = False, set()
        while not ended:
            _, _, ended, _, info = env.step(env.unwrapped.expert_action())
            paid |= {term for term, value in info["reward_terms"].items() if value}
        assert not paid & terms
        assert "outcome" in paid
